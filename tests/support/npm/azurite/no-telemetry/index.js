// Azurite imports it, and calls nothing of it with --disableTelemetry.
