"""`registry refresh`."""

from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here

if TYPE_CHECKING:
    from registry.core.values import ArtifactId


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--propose", is_flag=True, help="Push what changed as a branch, and open a pull request (or update it).")
@click.pass_context
def command(ctx: click.Context, dataset: str, *, propose: bool) -> None:
    """Ask Looker again which images a dataset has and, where the answer changed, make the next version.

    That is select, build, the version that the change demands, and the files that follow from manifests. With --propose
    the clean checkout of main in which this runs is left on main; its files are those of the proposal.
    """
    from registry.cli.commands import build, select
    from registry.core import layout, names
    from registry.errors import Refused
    from registry.integrations import git

    space, artifact = here(), names.parse_id(dataset)
    if propose and git.uncommitted_paths(space.root, "."):
        raise Refused("files here are not committed, and would become part of the proposal", fix="git stash")
    raw = layout.raw_pointer(artifact)
    before = space.tree.read(raw) if space.tree.has(raw) else b""
    ctx.invoke(select.command, dataset=dataset, file=None, dry_run=False)
    if (space.root / raw).read_bytes() == before:
        click.echo(f"{artifact}: the answer is the same")
        return
    ctx.invoke(build.command, dataset=dataset, dry_run=False, exclude_faulty=False)
    _set_version(Workspace(space.root), artifact)
    if propose:
        _propose(Workspace(space.root), artifact)


def _set_version(space: Workspace, artifact: "ArtifactId") -> None:
    """Move the version as far as the change demands, and write what follows from the manifest."""
    from registry.checks import collect
    from registry.cli.commands.check import reader
    from registry.core.atomic_write import write_atomically
    from registry.integrations.git_trees import History
    from registry.release import refresh
    from registry.scaffold import generated_files

    with History(space.root) as history:
        known = collect.gather(collect.since(space.root, "HEAD"), history, reader(space))
    if version := refresh.next_version(known, artifact):
        path, data = refresh.with_version(space.tree, artifact, version)
        write_atomically(space.root / path, data)
        click.echo(f"{path}: version {version}")
    for path, data in generated_files.expected(Workspace(space.root).tree).items():
        write_atomically(space.root / path, data)


def _propose(space: Workspace, artifact: "ArtifactId") -> None:
    """One commit on top of HEAD, its objects in staging first, on a branch that is this command's own."""
    from registry.cli.commands import push
    from registry.core import manifests
    from registry.integrations import git, git_commits, github
    from registry.release import refresh

    repository = github.connect(space.root)
    manifest = manifests.load_dataset(space.tree, artifact)
    paths = git.changed_paths(space.root, "HEAD")
    files = {path: space.tree.read(path) if space.tree.has(path) else None for path in paths}
    title, branch = refresh.title(manifest), refresh.BRANCH.format(artifact.name)
    commit = git_commits.commit_files(space.root, git.resolve_commit(space.root, "HEAD"), files, f"{title}\n")
    push.command.callback((commit,), hook=False, dry_run=False)
    git_commits.push_branch(space.root, commit, branch, force=True)
    said = [f"{artifact} {manifest.version}", *git.diff_stat(space.root, "HEAD", commit)]
    click.echo(github.open_pull_request(repository, branch, title, refresh.words(manifest, said)))
