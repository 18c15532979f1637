"""`registry sbom`."""

from pathlib import Path

import click

from registry.cli.workspace import here
from registry.console import say
from registry.core import names
from registry.core.atomic_write import write_atomically
from registry.core.wording import plural
from registry.release import sbom


@click.command()
@click.argument("tag", metavar="ID@vVERSION")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; by default, print it.")
def command(tag: str, *, out: Path | None) -> None:
    """Write the bill of materials of a model's training, as CycloneDX 1.6 JSON.

    It has the packages that requirements.txt and requirements-torch.txt of the release's commit prescribe for training,
    with the SHA-256 of their files; what else a machine had is not known. The same release gives the same bytes.
    Licenses of packages are not in a lock. A model that was trained elsewhere has none.
    """
    found = sbom.read(here().root, names.parse_tag(tag))
    if out is None:
        say(found.data.decode().rstrip("\n"))
        return
    write_atomically(out, found.data)
    say(f"{out}: the bill of materials of {tag}, {plural(found.packages, 'package')}")
