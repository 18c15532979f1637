"""Which commits changed which files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.integrations.git import output

_CHANGES = ("--format=%x01%H", "--name-only", "--no-renames", "-z", "--root", "--diff-merges=first-parent", "--reverse")


@dataclass(frozen=True, slots=True)
class CommitPaths:
    """A commit, and the paths that it changes."""

    commit: str
    paths: tuple[str, ...]


def changing_commits(
    root: Path, tips: Sequence[str], known: Sequence[str], patterns: Sequence[str]
) -> tuple[CommitPaths, ...]:
    """The commits reachable from `tips` and not from `known` that change files matching pathspecs, oldest first.

    A merge is compared with its first parent. Arguments of rev-list (`--branches`) are allowed in both.
    """
    # Through standard input, because a push may name thousands; it takes no options (Git 2.39).
    chosen, excluded = ([one for one in given if one.startswith("--")] for given in (tips, known))
    names = [*(one for one in tips if one not in chosen), *(f"^{one}" for one in known if one not in excluded)]
    options = ("log", "--full-history", *_CHANGES, *chosen, "--stdin", "--not", *excluded)
    return _parse_changes(output(root, *options, "--", *patterns, stdin="".join(f"{one}\n" for one in names).encode()))


def merged_changes(root: Path, tip: str, patterns: Sequence[str]) -> tuple[CommitPaths, ...]:
    """What each commit on the first-parent line of `tip` brought to files matching pathspecs, oldest first.

    That line is what a branch was after each merge, whether it merged, squashed or rebased.
    """
    return _parse_changes(output(root, "log", "--first-parent", *_CHANGES, tip, "--", *patterns))


def _parse_changes(listed: str) -> tuple[CommitPaths, ...]:
    rows = (commit.split("\0") for commit in listed.split("\x01")[1:])
    return tuple(CommitPaths(commit, tuple(name.lstrip("\n") for name in names if name)) for commit, *names in rows)


def unmerged_tags(root: Path, tips: Sequence[str]) -> frozenset[str]:
    """The names of tags whose commits none of these tips has."""
    options = (f"--no-merged={tip}" for tip in tips)
    return frozenset(output(root, "for-each-ref", "--format=%(refname:strip=2)", *options, "refs/tags").split())


def past_blobs(root: Path, path: str) -> frozenset[str]:
    """The ids of all versions of a file, in the history of any branch, tag or stash."""
    lines = output(root, "log", "--all", "-m", "--raw", "--no-abbrev", "--no-renames", "--format=", "--", path)
    ids = (line.split()[3] for line in lines.splitlines() if line.startswith(":"))
    return frozenset(one for one in ids if one.strip("0"))
