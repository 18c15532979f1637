"""How long a test waits for an event before it says that it will not come."""

# Seconds: far beyond what anything here takes on the busiest machine, so that no test has a clock in it.
PATIENCE = 600
# Seconds that something which a test ends would go on for, were it not ended.
FOR_EVER = 3600
