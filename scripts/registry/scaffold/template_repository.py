"""The repository of the template, fetched into Git's own folder: its commits, its releases, a copy's birth."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from registry.errors import NotFound, Refused, ToolFailed
from registry.integrations import git
from registry.integrations.git_trees import Revision

_FOLDER = "registry/template.git"  # below the folder that all working trees share
_RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of the template, and the version of the tooling in it."""

    id: str
    version: str


def fetch(root: Path, source: str) -> Path:
    """The bare repository with all branches and tags of the template. Raises NotFound where it cannot be fetched."""
    folder = git.common_dir(root) / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    git.output(folder, "init", "--quiet", "--bare")
    try:
        git.output(folder, "fetch", "--quiet", "--prune", "--no-tags", "--force", "--", source, *_REFS)
    except ToolFailed as error:
        reason = (error.stderr.strip().splitlines() or ["git fetch failed"])[-1]
        fix = f"check `template:` in registry.yaml, and that `git ls-remote {source}` works"
        raise NotFound(f"{source}: {reason}", fix=fix) from error
    return folder


def releases(repository: Path) -> dict[tuple[int, ...], str]:
    """The tags vX.Y.Z by their numbers, in ascending order."""
    names = git.output(repository, "tag", "--list").split()
    found = {tuple(map(int, match.groups())): match[0] for name in names if (match := _RELEASE.fullmatch(name))}
    return dict(sorted(found.items()))


def find(repository: Path, to: str) -> Commit:
    """The newest release; or the one of the version `to`, or the commit that it names. Raises NotFound, Refused."""
    names = releases(repository)
    if not to and not names:
        raise Refused("the template has no release yet", fix="name a commit of it: registry upgrade --to COMMIT")
    revision = [*names.values()][-1] if not to else f"v{to}" if f"v{to}" in names.values() else to
    return read(repository, revision)


def read(repository: Path, revision: str) -> Commit:
    """A commit of the template. Raises NotFound."""
    try:
        with Revision(repository, revision) as tree:
            project = tomllib.loads(tree.read("pyproject.toml").decode())["project"]
            return Commit(tree.commit, project["version"])
    except NotFound as error:
        raise NotFound(f"the template has no commit or release {revision}", fix="registry upgrade --dry-run") from error


def find_birth(root: Path, repository: Path, version: str) -> Commit:
    """The commit of the template that a copy with its code was made of.

    It is the newest commit of the copy whose files are those of a commit of the template («Use this template» makes
    one; a clone has the template's own); otherwise the release of the version that the copy has. Raises NotFound.
    """
    known: dict[str, str] = {}
    for line in git.output(repository, "log", "--all", "--format=%T %H").splitlines():
        tree, _, commit = line.partition(" ")
        known.setdefault(tree, commit)
    trees = git.output(root, "log", "--first-parent", "--format=%T", "HEAD").split()
    commit = next((known[tree] for tree in trees if tree in known), "")
    if not commit and f"v{version}" not in releases(repository).values():
        fix = "name the repository that this one was made of, with all of its branches: --source URL"
        raise NotFound("no commit of the template has the files that this repository began with", fix=fix)
    return read(repository, commit or f"v{version}")
