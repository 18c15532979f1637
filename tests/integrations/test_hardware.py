import os
import time

from registry.integrations import hardware


def test_the_machine_and_what_the_process_has_used() -> None:
    found = hardware.measure(time.monotonic() - 2, 7)
    assert found.processor
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.seconds >= 2
    assert found.pulled == 7
    assert 10_000_000 < found.peak < 1 << 45, "in bytes"
