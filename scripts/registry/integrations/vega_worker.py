"""Draws a Vega-Lite specification that others wrote, from standard input to standard output, as its own process."""

import resource
import sys

MEMORY = 2 << 30  # bytes of private memory; V8 reserves far more address space than it uses
SECONDS = 30  # of processor time


def main() -> None:
    """Read the specification, write a PNG. The data are in the specification: no address is read."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    import vl_convert

    drawn = vl_convert.vegalite_to_png(sys.stdin.read(), scale=2, allowed_base_urls=[])
    sys.stdout.buffer.write(drawn)


if __name__ == "__main__":
    main()
