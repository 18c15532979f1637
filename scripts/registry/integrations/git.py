"""What Git knows and does: one short function per plumbing command.

Queries are quiet. Commands that change something are printed as they run.
"""

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import NotFound, Refused, ToolFailed
from registry.integrations import process

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git hash-object -t tree /dev/null
NULL_OID = "0" * 40  # what Git passes to hooks for a ref that does not exist
# .gitmodules and the configuration can hide changed submodules (`ignore = all`); a replacement needs no rename.
_NAMES = ("--name-only", "--no-renames", "--ignore-submodules=none", "-z")
LOCK_TIMEOUT = 5.0  # seconds after which the lock of a ref is abandoned: Git holds one for milliseconds


def output(root: Path, *args: str, stdin: bytes | None = None) -> str:
    """The standard output of a query, as text; file names that are not UTF-8 survive as surrogates."""
    return process.run(["git", "-C", str(root), *args], quiet=True, stdin=stdin).decode(errors="surrogateescape")


def run(root: Path, *args: str, stdin: bytes | None = None) -> None:
    """Run a command that changes something; it is printed."""
    process.run(["git", *args], cwd=root, stdin=stdin)


def split_records(text: str) -> tuple[str, ...]:
    """The records of an output in which Git ends each with NUL (`-z`)."""
    return tuple(name for name in text.split("\0") if name)


# --- repository -------------------------------------------------------------------------------------------------------


def find_root(start: Path) -> Path:
    """The top folder of the working tree that `start` is in. Raises NotFound."""
    try:
        return Path(output(start, "rev-parse", "--show-toplevel").rstrip("\n"))
    except ToolFailed as error:
        if _is_bare(start):
            fix = "git worktree add ../NAME BRANCH; then cd there"
            raise NotFound(f"{start} is in a bare repository, which has no working tree", fix=fix) from error
        raise NotFound(f"{start} is not in a Git repository", fix="cd into your registry, or `git clone` it") from error


def _is_bare(start: Path) -> bool:
    try:
        return output(start, "rev-parse", "--is-inside-work-tree").strip() == "false"
    except ToolFailed:
        return False


def prefix(folder: Path) -> str:
    """The path of a folder in its repository, with a slash at its end; empty at the top."""
    return output(folder, "rev-parse", "--show-prefix").rstrip("\n")


def is_shallow(root: Path) -> bool:
    """Whether this is a shallow clone, whose history is cut off."""
    return output(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def worktrees(root: Path) -> tuple[Path, ...]:
    """The folders of all working trees of this repository, the main one first."""
    lines = output(root, "worktree", "list", "--porcelain").splitlines()
    return tuple(Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree "))


def internal_path(root: Path, name: str) -> Path:
    """Where Git keeps a file of its own, such as `refs/tags/NAME.lock`, in this repository or linked working tree."""
    return root / output(root, "rev-parse", "--git-path", name).strip()


def common_dir(root: Path) -> Path:
    """Git's own folder, which all working trees of a repository share."""
    return Path(output(root, "rev-parse", "--path-format=absolute", "--git-common-dir").rstrip("\n"))


def hooks_dir(root: Path) -> Path:
    """Where Git looks for hooks: `core.hooksPath`, or `hooks` in its own folder."""
    return root / output(root, "rev-parse", "--git-path", "hooks").rstrip("\n")


@dataclass(frozen=True, slots=True)
class Setting:
    """An option of Git's configuration; `scope` is system, global, local, worktree or command."""

    value: str
    scope: str


def config_origin(root: Path, key: str) -> Setting | None:
    """The value of an option that counts, and where it is set; None where it is not."""
    try:
        scope, _, value = output(root, "config", "--show-scope", "--null", "--get", key).rstrip("\0").partition("\0")
    except ToolFailed:
        return None
    return Setting(value, scope)


def set_config(root: Path, key: str, value: str) -> None:
    """Set an option in the repository's own configuration."""
    output(root, "config", key, value)


def require_identity(root: Path) -> None:
    """Raise Refused when Git has no name and e-mail address to create a tag with."""
    try:
        output(root, "var", "GIT_COMMITTER_IDENT")
    except ToolFailed as error:
        fix = "git config user.name YOU && git config user.email YOU@EXAMPLE.COM"
        raise Refused("user.name and user.email are not set in Git's configuration", fix=fix) from error


# --- revisions and changes --------------------------------------------------------------------------------------------


def resolve_commit(root: Path, revision: str) -> str:
    """The commit that a revision or tag names. Raises NotFound, and Refused for what is none."""
    try:
        return output(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except ToolFailed as error:
        if revision == "HEAD":
            fix = "git add --all && git commit --message 'A new registry'"
            raise NotFound("HEAD has no commit yet", fix=fix) from error
        if find_id(root, revision):
            raise Refused(f"{revision!r} leads to no commit", fix="name a commit, a branch or a release") from error
        fix = "git fetch --tags origin" if not is_shallow(root) else "git fetch --unshallow --tags origin"
        raise NotFound(f"{revision!r} is not a revision of this repository", fix=fix) from error


def find_id(root: Path, revision: str) -> str:
    """The id of what a revision names, such as `HEAD:scripts`; empty where there is no such thing."""
    try:
        return output(root, "rev-parse", "--verify", "--quiet", "--end-of-options", revision).strip()
    except ToolFailed:
        return ""


def merge_base(root: Path, one: str, other: str) -> str:
    """The best common ancestor of two revisions. Raises NotFound."""
    try:
        return output(root, "merge-base", one, other).strip()
    except ToolFailed as error:
        raise NotFound(f"{one} and {other} have no common history", fix="git fetch --unshallow origin") from error


def is_ancestor(root: Path, commit: str, tip: str) -> bool:
    """Whether `commit` is `tip`, or is in its history."""
    return not output(root, "rev-list", "--max-count=1", commit, "--not", tip)


def current_branch(root: Path) -> str:
    """The checked-out branch; empty when HEAD is detached."""
    return output(root, "branch", "--show-current").strip()


def staged_paths(root: Path) -> tuple[str, ...]:
    """The paths that the next commit would change, deletions included."""
    return split_records(output(root, "diff", "--cached", *_NAMES))


def changed_paths(root: Path, old: str, new: str | None = None) -> tuple[str, ...]:
    """The paths that differ between two revisions, or between one and the working tree (untracked files included)."""
    changed = split_records(output(root, "diff", *_NAMES, old, *([new] if new else [])))
    untracked = () if new else split_records(output(root, "ls-files", "--others", "--exclude-standard", "-z"))
    return tuple(sorted({*changed, *untracked}))


def tracked_paths(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """The files among these paths, or below them, that the index has."""
    literal = [f":(top,literal){path}" for path in paths]
    return frozenset(split_records(output(root, "ls-files", "-z", "--", *literal))) if literal else frozenset()


def uncommitted_paths(root: Path, folder: str) -> tuple[str, ...]:
    """The paths below a folder that differ from HEAD, untracked files included."""
    listed = split_records(
        output(root, "status", "--porcelain", "--no-renames", "-z", "--untracked-files=all", "--", folder)
    )
    return tuple(line[3:] for line in listed)


def diff_stat(root: Path, old: str, new: str) -> tuple[str, ...]:
    """The lines of `git diff --stat`: how many lines of each file differ between two revisions."""
    return tuple(output(root, "diff", "--stat", old, new).splitlines())


# --- refs and remotes -------------------------------------------------------------------------------------------------


def remotes(root: Path) -> tuple[str, ...]:
    """The names of all remotes."""
    return tuple(output(root, "remote").split())


def has_remote(root: Path, remote: str = "origin") -> bool:
    """Whether a remote of that name is configured."""
    return remote in output(root, "remote").split()


def remote_url(root: Path, remote: str = "origin") -> str:
    """The URL that a remote is fetched from."""
    return output(root, "remote", "get-url", remote).strip()


def urls(root: Path, remote: str) -> frozenset[str]:
    """The URLs that a remote is fetched from and pushed to."""
    pushed = output(root, "remote", "get-url", "--push", "--all", remote).split()
    return frozenset({*pushed, *output(root, "remote", "get-url", "--all", remote).split()})


def tracked_commits(root: Path, remote: str) -> tuple[str, ...]:
    """The commits of a remote's remote-tracking branches: what it had when it was last asked."""
    return tuple(
        dict.fromkeys(output(root, "for-each-ref", "--format=%(objectname)", f"refs/remotes/{remote}/").split())
    )


def main_branch(root: Path, remote: str | None) -> str:
    """The default branch: what the remote's HEAD names; without a remote `main`, `master`, or else the only branch."""
    if not remote:
        return known_main_branch(root).removeprefix("origin/")
    head = output(root, "ls-remote", "--symref", remote, "HEAD").split()
    return head[1].removeprefix("refs/heads/") if head[:1] == ["ref:"] else "main"


def known_main_branch(root: Path) -> str:
    """A revision of the default branch, as this clone knows it without asking the remote: `main`, `origin/trunk`."""
    lines = output(root, "for-each-ref", "--format=%(refname) %(symref)", "refs/heads", "refs/remotes/origin/HEAD")
    known = dict(line.split(" ") for line in lines.splitlines())  # without a symref that leads nowhere
    head = known.pop("refs/remotes/origin/HEAD", "").removeprefix("refs/remotes/origin/")
    local = [name.removeprefix("refs/heads/") for name in known]
    usual = next((name for name in ("main", "master") if name in local), local[0] if len(local) == 1 else "main")
    return f"origin/{head}" if head and head not in local else head or usual


def known_default_branches(root: Path) -> tuple[str, ...]:
    """The refs of the default branch in this clone: its own and the fetched one; one of them where both are equal."""
    name = known_main_branch(root).removeprefix("origin/")
    places = (f"refs/heads/{name}", f"refs/remotes/origin/{name}")
    lines = output(root, "for-each-ref", "--format=%(objectname) %(refname)", *places).splitlines()
    return tuple(dict(line.split(" ") for line in lines).values())


def refs(root: Path, remote: str = ".") -> dict[str, str]:
    """The object ids of all refs of a remote, or of this repository (`.`), by full name."""
    return dict(line.split("\t")[::-1] for line in output(root, "ls-remote", "--refs", remote).splitlines())


def tips(root: Path, chosen: Sequence[str]) -> tuple[str, ...]:
    """The commits of the refs that arguments of rev-list choose, such as `--branches`."""
    return tuple(output(root, "rev-list", "--no-walk", *chosen).split())


def tag_names(root: Path) -> tuple[str, ...]:
    """The names of all annotated tags; like GTO and DVC, the registry ignores lightweight ones."""
    lines = output(root, "for-each-ref", "--format=%(objecttype) %(refname:strip=2)", "refs/tags").splitlines()
    return tuple(name for kind, _, name in (line.partition(" ") for line in lines) if kind == "tag")


@dataclass(frozen=True, slots=True)
class TagRef:
    """The commit of a tag, and whether the tag is annotated (GTO and DVC ignore lightweight ones).

    `id` is what the ref names: the tag's own object, or the commit.
    """

    commit: str
    annotated: bool
    id: str = field(default="", compare=False)


def tag_refs(root: Path, remote: str = ".") -> dict[str, TagRef]:
    """Every tag of a remote, or of this repository (`.`), by name."""
    lines = (line.split(None, 1) for line in output(root, "ls-remote", "--tags", "--", remote).splitlines())
    ids = {name.removeprefix("refs/tags/"): object_id for object_id, name in lines}
    return {
        name: TagRef(ids.get(f"{name}^{{}}", object_id), f"{name}^{{}}" in ids, object_id)
        for name, object_id in ids.items()
        if not name.endswith("^{}")
    }


def tag_times(root: Path) -> dict[str, int]:
    """When each annotated tag of this repository was made, in seconds since 1970; 0 where it does not say."""
    lines = output(root, "for-each-ref", "--format=%(objecttype) %(taggerdate:unix) %(refname:strip=2)", "refs/tags")
    rows = (line.split(" ", 2) for line in lines.splitlines())
    return {name: int(seconds or 0) for kind, seconds, name in rows if kind == "tag"}


def tag_messages(root: Path) -> dict[str, str]:
    """The message of every tag of this repository, by name; that of a lightweight tag is its commit's."""
    records = output(root, "for-each-ref", "--format=%(refname:strip=2)%00%(contents)%00", "refs/tags").split("\0")
    return {name.strip(): message for name, message in zip(records[::2], records[1::2], strict=False)}


def fetch(root: Path, refs: Iterable[str], remote: str = "origin") -> None:
    """Fetch refs of a remote, and the tags that point into their history; no local tag is ever moved."""
    run(root, "fetch", "--quiet", remote, *refs)


def commit_time(root: Path, commit: str) -> int:
    """When a commit was made, in seconds since 1970."""
    return int(output(root, "show", "--no-patch", "--format=%ct", commit))


def fetch_commit(root: Path, commit: str, remote: str = "origin") -> None:
    """Fetch a commit by its id, without tags and without FETCH_HEAD."""
    run(root, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, commit)


def push_branch(root: Path, branch: str, commit: str, remote: str = "origin", *, options: Sequence[str] = ()) -> None:
    """Set a branch of a remote to a commit. Raises ToolFailed for what is no fast-forward, unless options force it."""
    run(root, "push", "--quiet", "--no-verify", *options, remote, f"{commit}:refs/heads/{branch}")


def remove_abandoned_lock(root: Path, ref: str) -> None:
    """Remove the lock of a ref that a killed Git left behind; a younger one is waited for."""
    lock = internal_path(root, f"{ref}.lock")
    with suppress(FileNotFoundError):
        while time.time() - lock.stat().st_mtime < LOCK_TIMEOUT:
            time.sleep(0.1)
        lock.unlink()


def commit_paths(root: Path, paths: Sequence[str], message: str) -> None:
    """Commit these files of the working tree, and nothing else that is staged; hooks run."""
    output(root, "add", "--", *paths)
    run(root, "commit", "--quiet", "--file=-", "--", *paths, stdin=message.encode())


def create_tag(root: Path, name: str, commit: str, message: str) -> None:
    """Create an annotated tag, never forced; it is signed where Git is configured to (`tag.gpgSign`)."""
    run(root, "tag", "--annotate", "--file=-", "--", name, commit, stdin=message.encode())


def push_tags(root: Path, names: Iterable[str], remote: str = "origin") -> None:
    """Push tags, all or none, never forced."""
    run(root, "push", "--quiet", "--atomic", "--no-verify", remote, *(f"refs/tags/{name}" for name in names))


# --- objects ----------------------------------------------------------------------------------------------------------


def has_object(root: Path, object_id: str) -> bool:
    """Whether this repository has a commit or other object."""
    return output(root, "cat-file", "--batch-check", stdin=f"{object_id}\n".encode()).split()[-1] != "missing"


def find_commits(root: Path, object_ids: Iterable[str]) -> tuple[str, ...]:
    """Those of these objects that are commits, or tags of one, and that this repository has."""
    asked = "".join(f"{one}^{{commit}}\n" for one in object_ids)
    rows = (line.split() for line in output(root, "cat-file", "--batch-check", stdin=asked.encode()).splitlines())
    return tuple(fields[0] for fields in rows if fields[1] == "commit")


def read_blob(root: Path, blob: str) -> bytes | None:
    """A blob; None where this repository has none of that id (any more)."""
    try:
        return process.run(["git", "-C", str(root), "cat-file", "blob", blob], quiet=True)
    except ToolFailed:
        return None


def write_blob(root: Path, data: bytes) -> str:
    """Store a blob; its id."""
    return output(root, "hash-object", "-w", "--stdin", stdin=data).strip()


def tree_id(root: Path, commit: str) -> str:
    """The id of a commit's tree."""
    return output(root, "rev-parse", f"{commit}^{{tree}}").strip()


def parents(root: Path, commit: str) -> tuple[str, ...]:
    """The ids of a commit's parents, in their order."""
    return tuple(output(root, "rev-list", "--no-walk", "--parents", commit).split()[1:])


# --- linked working trees ---------------------------------------------------------------------------------------------


def add_worktree(root: Path, folder: Path, commit: str) -> None:
    """Check out a commit into a new folder, with a detached HEAD and without running hooks."""
    run(root, "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--quiet", "--detach", str(folder), commit)


def remove_worktree(root: Path, folder: Path) -> None:
    """Delete a linked working tree, and prune Git's records of those whose folder no longer exists."""
    shutil.rmtree(folder, ignore_errors=True)
    run(root, "worktree", "prune")
