"""`registry export`."""

from pathlib import Path

import click

from registry.cli.workspace import here, warn
from registry.client.products import Known
from registry.console import say
from registry.core import progress, references, tag_messages, wording
from registry.core.withdrawals import Withdrawal
from registry.dataset import shard_index
from registry.integrations import git
from registry.release import export, history
from registry.storage.local import Folder
from registry.storage.reader import ObjectReader

_MODE = 0o666  # less the umask


@click.command()
@click.argument("release", metavar="ID@VERSION")
@click.option("--shards", is_flag=True, required=True, help="As tar files of up to 1,000 images (WebDataset).")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", help="Not to production.")
def command(release: str, out: Path | None, *, shards: bool) -> None:  # noqa: ARG001 - the only form there is
    """Write the images of a dataset's release in another form, for training.

    Shards are tar files that WebDataset and Hugging Face read: train-000000.tar and so on for each split, up to 1,000
    images in each, mixed by a hash, with the class and the row of metadata beside each image; and index.json, which
    names them with their hashes. They are a copy: the images stay what is released, and the same release gives the same
    bytes on any machine.

    They are written beside the release in production, releases/ID/VERSION/shards, or to FOLDER. Nothing is overwritten;
    each shard is read again and compared with the release. The same command continues after an interruption. What lost
    images to an erasure is not exported, as the rest would look like the whole.
    """
    space, wanted = here(), references.parse(release)
    releases = {one.tag: one for one in history.read(space.root, space.tree, [wanted.artifact])}
    withdrawn = {tag: one.withdrawn for tag, one in releases.items() if one.withdrawn}
    stages = {stage: tag for tag, one in releases.items() for stage in one.stages}
    known = Known(str(space.root), tuple(releases), withdrawn, stages)
    tag = known.choose(wanted)
    if tag in withdrawn:
        warn(str(Withdrawal(tag, withdrawn[tag], known.good)))
    stores = space.stores
    read = ObjectReader((*stores.caches, *stores.downloads), warn)
    manifest = tag_messages.find_manifest(git.tag_messages(space.root).get(str(tag), ""))
    plan = export.plan(
        releases[tag], manifest, read, stores.downloads, space.erased, good=str(known.good) if known.good else ""
    )
    place, prefix = (Folder(out, _MODE), "") if out else (stores.production, f"{shard_index.folder(tag)}/")
    with progress.bar(f"exporting {tag}", plan.images, plan.size) as advance:
        done = export.apply(plan, read, place, prefix, advance)
    there = len(done.index.files) - done.written
    said = f"{wording.plural(len(done.index.files), 'shard')}{f', {there:,} were there' if there else ''}"
    where = str(out) if out else f"{place.url}/{shard_index.folder(tag)}"
    amount = f"{wording.plural(done.index.images, 'image')}, {wording.size(done.index.size)}"
    say(f"{where} has {tag} as {said}: {amount}")
