"""`registry refresh`."""

from collections.abc import Sequence

import click

from registry.checks import collect
from registry.cli import checking, preparing, transferring
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import layout, manifests, names
from registry.core.atomic_write import write_atomically
from registry.core.values import ArtifactId
from registry.dataset import provenance
from registry.errors import Refused
from registry.integrations import git, git_commits, github
from registry.release import refresh
from registry.sync import push


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--propose", is_flag=True, help="Push the result as a branch, and open or update a pull request.")
def command(dataset: str, *, propose: bool) -> None:
    """Get a dataset's rows again (query, Look or delivery) and, if they changed, prepare the next version.

    That is: select, build, the version that the change requires, and the generated files. --propose needs a clean
    checkout of the default branch, which stays what it is; the working tree then has the files of the pull request.
    """
    space, artifact = here(), names.parse_id(dataset)
    if propose and git.uncommitted_paths(space.root, "."):
        raise Refused("the working tree has uncommitted changes, which would become part of the pull request",
                      fix="git stash --include-untracked")  # fmt: skip
    raw = layout.raw_pointer(artifact)
    before = space.tree.read(raw) if space.tree.has(raw) else b""
    plan = preparing.select(space, artifact, fetch=True)
    if (space.root / raw).read_bytes() == before:
        say(f"{artifact}: the query's result has not changed")
        return
    say(str(preparing.build(Workspace(space.root), artifact)))
    _set_version(Workspace(space.root), artifact)
    if propose:
        _propose(Workspace(space.root), artifact, plan.summary if plan else ())


def _set_version(space: Workspace, artifact: ArtifactId) -> None:
    """Raise the version as far as the change requires, and write the generated files."""
    facts = checking.gather(space, collect.since(space.root, "HEAD"))
    if version := refresh.next_version(facts, artifact):
        path, data = refresh.with_version(space.tree, artifact, version)
        write_atomically(space.root / path, data)
        say(f"{path}: version {version}")
    space.write_generated_files()


def _propose(space: Workspace, artifact: ArtifactId, told: Sequence[str]) -> None:
    """Commit on top of HEAD, upload the commit's objects, then push it to the branch of this command."""
    repository = github.connect(space.root)
    manifest = manifests.load_dataset(space.tree, artifact)
    paths = git.changed_paths(space.root, "HEAD")
    files = {path: space.tree.read(path) if space.tree.has(path) else None for path in paths}
    title, branch = refresh.title(manifest), refresh.BRANCH.format(artifact.name)
    commit = git_commits.commit_files(space.root, git.resolve_commit(space.root, "HEAD"), files, f"{title}\n")
    transferring.upload(space, push.needed_by(space.root, (commit,)))
    git_commits.push_branch(space.root, commit, branch, force=True)
    summary = [f"{artifact} {manifest.version}", *told, *git.diff_stat(space.root, "HEAD", commit)]
    pointer = layout.raw_pointer(artifact)
    origin = provenance.read(space.tree.read(pointer), pointer)
    body, base = refresh.body(manifest, summary, origin), git.main_branch(space.root, "origin")
    say(github.open_pull_request(repository, branch, title, body, base))
