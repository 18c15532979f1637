"""Questions to Git, each over one plumbing command; nobody else spells git."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.errors import NotFound, Refused, ToolFailed
from registry.integrations.process import run

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git hash-object -t tree /dev/null
NO_COMMIT = "0" * 40  # what hooks are given for "nothing was there"


def ask(root: Path, *args: str, stdin: bytes | None = None) -> str:
    """One quiet plumbing command's standard output, as text; file names that are not UTF-8 survive as surrogates."""
    return run(["git", "-C", str(root), *args], quiet=True, stdin=stdin).decode(errors="surrogateescape")


def tell(root: Path, *args: str, stdin: bytes | None = None) -> str:
    """One command that changes something; printed as it is run."""
    return run(["git", *args], cwd=root, stdin=stdin).decode(errors="surrogateescape")


def find_root(start: Path) -> Path:
    """The top of the work tree around `start`."""
    try:
        return Path(ask(start, "rev-parse", "--show-toplevel").rstrip("\n"))
    except ToolFailed as error:
        raise NotFound(f"{start} is not in a Git repository", fix="cd into your registry, or `git clone` it") from error


def resolve(root: Path, revision: str) -> str:
    """The commit that a revision or tag names."""
    try:
        return ask(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except ToolFailed as error:
        fix = "git fetch --tags origin" if not is_shallow(root) else "git fetch --unshallow --tags origin"
        raise NotFound(f"{revision!r} is not a revision of this repository", fix=fix) from error


def has_commit(root: Path) -> bool:
    """Whether HEAD is born yet."""
    try:
        ask(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except ToolFailed:
        return False
    return True


def is_shallow(root: Path) -> bool:
    """Whether history was cut off by a shallow clone."""
    return ask(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def merge_base(root: Path, one: str, other: str) -> str:
    """The best common ancestor of two revisions."""
    try:
        return ask(root, "merge-base", one, other).strip()
    except ToolFailed as error:
        raise NotFound(f"{one} and {other} have no common history", fix="git fetch --unshallow origin") from error


def current_branch(root: Path) -> str:
    """The checked-out branch, or an empty text when HEAD is detached."""
    return ask(root, "branch", "--show-current").strip()


def tag_names(root: Path) -> tuple[str, ...]:
    """Every *annotated* tag; lightweight ones are ignored by GTO and DVC, so by us."""
    lines = ask(root, "for-each-ref", "--format=%(objecttype) %(refname:strip=2)", "refs/tags").splitlines()
    return tuple(name for kind, _, name in (line.partition(" ") for line in lines) if kind == "tag")


def staged_paths(root: Path) -> tuple[str, ...]:
    """The paths that the next commit would change, deletions included."""
    return split_records(ask(root, "diff", "--cached", "--name-only", "--no-renames", "-z"))


def changed_paths(root: Path, old: str, new: str | None = None) -> tuple[str, ...]:
    """The paths that differ between two revisions, or between one and the working tree (untracked files included)."""
    changed = split_records(ask(root, "diff", "--name-only", "--no-renames", "-z", old, *([new] if new else [])))
    untracked = () if new else split_records(ask(root, "ls-files", "--others", "--exclude-standard", "-z"))
    return tuple(sorted({*changed, *untracked}))


def commits_between(root: Path, tip: str, known: Sequence[str]) -> tuple[str, ...]:
    """The commits reachable from `tip` and from none of `known`, oldest first."""
    return tuple(ask(root, "rev-list", "--reverse", tip, "--not", *known).split())


def changing_commits(
    root: Path, tips: Sequence[str], known: Sequence[str], patterns: Sequence[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The commits reachable from `tips`, not from `known`, that change such files; oldest first, each with these paths.

    A merge is compared with its first parent. Arguments of rev-list (`--remotes=origin`) are allowed in both.
    """
    form = ("--format=%x01%H", "--name-only", "--no-renames", "-z")
    merges = ("--full-history", "--root", "--diff-merges=first-parent", "--reverse")
    listed = ask(root, "log", *merges, *form, *tips, "--not", *known, "--", *patterns)
    rows = (commit.split("\0") for commit in listed.split("\x01")[1:])
    return tuple((commit, tuple(name.lstrip("\n") for name in names if name)) for commit, *names in rows)


def split_records(text: str) -> tuple[str, ...]:
    """The records of an output that git ends with NUL each."""
    return tuple(name for name in text.split("\0") if name)


# --- publishing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TagRef:
    """A tag: the commit that it leads to, and whether it is annotated (GTO and DVC ignore those that are not)."""

    commit: str
    annotated: bool


def has_remote(root: Path, remote: str = "origin") -> bool:
    """Whether a remote of that name is configured."""
    return remote in ask(root, "remote").split()


def tag_refs(root: Path, remote: str = ".") -> dict[str, TagRef]:
    """Every tag of a remote, or of this repository (`.`), by name."""
    lines = (line.split(None, 1) for line in ask(root, "ls-remote", "--tags", remote).splitlines())
    ids = {name.removeprefix("refs/tags/"): object_id for object_id, name in lines}
    return {
        name: TagRef(ids.get(f"{name}^{{}}", object_id), f"{name}^{{}}" in ids)
        for name, object_id in ids.items()
        if not name.endswith("^{}")
    }


def main_branch(root: Path, remote: str | None) -> str:
    """The branch that merges go to: what the remote's HEAD names; without a remote `main`, or an older `master`."""
    if not remote:
        local = ask(root, "for-each-ref", "--format=%(refname:strip=2)", "refs/heads/main", "refs/heads/master").split()
        return local[0] if local else "main"
    head = ask(root, "ls-remote", "--symref", remote, "HEAD").split()
    return head[1].removeprefix("refs/heads/") if head[:1] == ["ref:"] else "main"


def fetch(root: Path, refs: Iterable[str], remote: str = "origin") -> None:
    """Bring refs of a remote here, with the tags that lead into their history; no local tag is ever moved."""
    tell(root, "fetch", "--quiet", remote, *refs)


def is_ancestor(root: Path, commit: str, tip: str) -> bool:
    """Whether `commit` is `tip` or lies in its history."""
    return not ask(root, "rev-list", "--max-count=1", commit, "--not", tip)


def has_object(root: Path, object_id: str) -> bool:
    """Whether a commit or other object is here."""
    return ask(root, "cat-file", "--batch-check", stdin=f"{object_id}\n".encode()).split()[-1] != "missing"


def uncommitted_paths(root: Path, folder: str) -> tuple[str, ...]:
    """The paths below a folder that differ from HEAD, untracked files included."""
    listed = split_records(
        ask(root, "status", "--porcelain", "--no-renames", "-z", "--untracked-files=all", "--", folder)
    )
    return tuple(line[3:] for line in listed)


def require_identity(root: Path) -> None:
    """Raise Refused when Git does not know in whose name to make a tag."""
    try:
        ask(root, "var", "GIT_COMMITTER_IDENT")
    except ToolFailed as error:
        fix = "git config user.name YOU && git config user.email YOU@EXAMPLE.COM"
        raise Refused("Git does not know who you are", fix=fix) from error


def worktrees(root: Path) -> tuple[Path, ...]:
    """Every checkout that shares this repository, the main one first."""
    lines = ask(root, "worktree", "list", "--porcelain").splitlines()
    return tuple(Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree "))


def make_tag(root: Path, name: str, commit: str, message: str) -> None:
    """An annotated tag, never forced."""
    tell(root, "tag", "--annotate", "--no-sign", "--file=-", "--", name, commit, stdin=message.encode())


def push_tags(root: Path, names: Iterable[str], remote: str = "origin") -> None:
    """Push tags all or none, never forced."""
    tell(root, "push", "--quiet", "--atomic", "--no-verify", remote, *(f"refs/tags/{name}" for name in names))


# --- a second checkout ------------------------------------------------------------------------------------------------


def add_worktree(root: Path, folder: Path, commit: str) -> None:
    """Check a commit out into a new folder, on no branch and past the hooks."""
    tell(root, "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--quiet", "--detach", str(folder), commit)


def remove_worktree(root: Path, folder: Path) -> None:
    """Remove a linked worktree with everything in it, and what Git remembers of those whose folder is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    tell(root, "worktree", "prune")


def remotes(root: Path) -> tuple[str, ...]:
    """The names of all remotes."""
    return tuple(ask(root, "remote").split())


def refs(root: Path, remote: str = ".") -> dict[str, str]:
    """Every ref of a remote, or of this repository (`.`), by its full name: the id of what it names."""
    return dict(line.split("\t")[::-1] for line in ask(root, "ls-remote", "--refs", remote).splitlines())


def tips(root: Path, chosen: Sequence[str]) -> tuple[str, ...]:
    """The commits that refs name, chosen by arguments of rev-list."""
    return tuple(ask(root, "rev-list", "--no-walk", *chosen).split())
