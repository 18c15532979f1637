"""Draws a plot that others wrote (SVG, Vega, Vega-Lite), from standard input to standard output, as its own process."""

import resource
import sys

MEMORY = 2 << 30  # bytes of private memory; V8 reserves far more address space than it uses
SECONDS = 30  # of processor time


def main() -> None:
    """Read the plot, write a PNG. The data are in it: no address is read."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    import vl_convert

    plot = sys.stdin.buffer.read().decode()
    match sys.argv[1]:
        case "svg":
            drawn = vl_convert.svg_to_png(plot, scale=2)
        case "vega":
            drawn = vl_convert.vega_to_png(plot, scale=2, allowed_base_urls=[])
        case _:
            drawn = vl_convert.vegalite_to_png(plot, scale=2, allowed_base_urls=[])
    sys.stdout.buffer.write(drawn)


if __name__ == "__main__":
    main()
