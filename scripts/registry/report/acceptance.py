"""Puts the commit that was judged on the branch of its pull request: that commit, or none."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from registry.errors import Refused, ToolFailed
from registry.integrations import git, git_trees
from registry.model import train, training_results
from registry.report import json_input
from registry.scaffold import generated_files

RESULTS = "results"  # in the folder that `registry judge` writes
_FIX = "run the workflow again for the branch as it is now"


class Place(StrEnum):
    """Where the judged commit is: on the branch already, put there now, or nowhere because the branch moved on."""

    THERE = "there"
    PUSHED = "pushed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The commit that a report is about, and where it is."""

    commit: str
    place: Place


def accept(root: Path, folder: Path, head: str, branch: str, base: str) -> Acceptance:
    """Push the commit that the report in `folder` is about to `branch`, unless the branch has moved on since `head`.

    The commit is made again from the results beside the report, and is pushed only if it is the same. It can be
    repeated after any failure. Raises Refused for a report of another commit, InvalidDocument and InvalidData for what
    neither the judge nor a training writes.
    """
    commit = json_input.parse((folder / json_input.PATH).read_bytes()).page.run.head
    tip = git.refs(root, "origin").get(f"refs/heads/{branch}", "")
    if tip not in {head, commit}:
        return Acceptance(commit, Place.MOVED)
    for needed in {head, tip}:
        if not git.has_object(root, needed):
            git.fetch_commit(root, needed)
    if tip == commit:
        if commit != head and not training_results.is_made_of(root, commit, head):
            raise Refused(f"{commit[:10]} has no training results of {head[:10]}", fix=_FIX)
        return Acceptance(commit, Place.THERE)
    _require_same(root, folder, head, commit, base)
    return Acceptance(commit, _push(root, commit, head, branch))


def _require_same(root: Path, folder: Path, head: str, commit: str, base: str) -> None:
    with git_trees.Revision(root, head) as tree:
        models = train.concerned(tree, git.changed_paths(root, git.merge_base(root, base, head), head))
    made = training_results.resulting_commit(root, head, models, folder / RESULTS, generated_files.card_files)
    if made != commit:
        raise Refused(f"the training results make the commit {made[:10]}, the report is about {commit[:10]}", fix=_FIX)


def _push(root: Path, commit: str, head: str, branch: str) -> Place:
    """Raises ToolFailed where the push failed although the branch has not moved."""
    ref = f"refs/heads/{branch}"
    try:
        git.push_branch(root, branch, commit, options=(f"--force-with-lease={ref}:{head}",))
    except ToolFailed:
        tip = git.refs(root, "origin").get(ref, "")
        if tip == head:
            raise
        return Place.PUSHED if tip == commit else Place.MOVED  # pushed, and the response was lost
    return Place.PUSHED
