"""Brings a copy to another commit of the template: a three-way merge of the template's files, and the pin.

The base of the merge are the files of the recorded commit. The template's files contain no value of a copy, so a file
that was not edited is the base's, and never in conflict. What is written once is the team's, and left alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.core import settings
from registry.core.atomic_write import write_atomically
from registry.core.settings import Template
from registry.errors import Refused
from registry.integrations import git
from registry.integrations.git_merge import MergedFile, Merger, TreeFile, list_tree
from registry.integrations.git_trees import Revision
from registry.scaffold import copy, skeleton, template_repository, wheels

CHANGELOG = "CHANGELOG.md"
_ENTRY = re.compile(r"^- .*(?:\n(?!- |#|\n).*)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upgrade changes: files by path, those in conflict with the template's commits on them, and the news."""

    old: Template
    new: Template
    files: Mapping[str, MergedFile]
    conflicts: Mapping[str, tuple[str, ...]]
    news: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"template {self.old.version} ({self.old.commit[:12]}) → {self.new.version} ({self.new.commit[:12]})"
        for path, file in self.files.items():
            mark = "conflict" if path in self.conflicts else "removed" if file.data is None else "updated"
            yield f"  {mark:8}  {path}"
        for path in sorted(self.conflicts.keys() - self.files.keys()):
            yield f"  conflict  {path}"
        for path, commits in self.conflicts.items():
            yield f"{path} was changed here and in the template:"
            yield from (f"  {subject}" for subject in commits)
        if self.news:
            yield f"what is new ({CHANGELOG} of the template):"
            yield from self.news


def plan(root: Path, pin: Template, repository: Path, to: str, wheel: str = "") -> Plan | None:
    """How to bring the copy at `root` from the commit of `pin` to another one; None if it is there already.

    `to` is as for `template_repository.find`. A copy with a wheel gets the other commit's: the one at the URL `wheel`,
    or else the one beside its own. Raises Refused for a working tree with changes, and as `wheels.pin`.
    """
    if changed := git.uncommitted_paths(root, "."):
        fix = "commit, or git stash --include-untracked"
        raise Refused(f"the working tree has uncommitted changes: {changed[0]}", fix=fix)
    old, new = template_repository.read(repository, pin.commit), template_repository.find(repository, to)
    if old.id == new.id or (not to and git.is_ancestor(repository, new.id, old.id)):
        return None
    vendored = (root / "scripts/registry").is_dir()
    before, after = _sides(repository, old.id, new.id, vendored=vendored)
    merge = Merger(root, repository).merge(before.values(), after.values(), f"template-{new.version}")
    moved = Template(pin.source, new.version, new.id)
    moved = wheels.pin(moved, wheel) if wheel else wheels.follow(pin, moved)
    file = copy.pinned((root / settings.PATH).read_bytes(), moved)
    conflicts = {path: _subjects(repository, old.id, new.id, path) for path in merge.conflicts}
    return Plan(
        Template(pin.source, old.version, old.id), moved, {**merge.files, settings.PATH: MergedFile(file)},
        conflicts, tuple(_news(repository, old.id, new.id)),
    )  # fmt: skip


def _sides(repository: Path, old: str, new: str, *, vendored: bool) -> Iterator[dict[str, TreeFile]]:
    """The template's files of two commits, by their paths in a copy.

    What became the team's with the new one is among its files. A commit from before the table is read by the other's.
    """
    with Revision(repository, old) as before, Revision(repository, new) as after:
        first = skeleton.read_table(before if before.has(skeleton.TABLE) else after)
        last = skeleton.read_table(after if after.has(skeleton.TABLE) else before)
        known = {*first.once, *first.owned}
        added = tuple(path for path in last.once if path not in known)
        for tree, table, paths in ((before, first, first.owned), (after, last, (*last.owned, *added))):
            listed = list_tree(repository, tree.commit)
            found = {path: listed.get(skeleton.source_of(tree, path)) for path in paths}
            code = {path: file for path, file in listed.items() if vendored and table.is_code(path)}
            yield code | {path: TreeFile(file.mode, file.blob, path) for path, file in found.items() if file}


def _subjects(repository: Path, old: str, new: str, path: str) -> tuple[str, ...]:
    sources = (path, f"{skeleton.TEMPLATES}/{path}")
    return tuple(git.output(repository, "log", "--format=%s", f"{old}..{new}", "--", *sources).splitlines())


def _news(repository: Path, old: str, new: str) -> Iterator[str]:
    """The entries of the changelog that are new."""
    texts = (git.read_blob(repository, f"{commit}:{CHANGELOG}") or b"" for commit in (old, new))
    before, after = (_ENTRY.findall(text.decode(errors="replace")) for text in texts)
    yield from (entry for entry in after if entry not in before)


def apply(plan: Plan, root: Path) -> None:
    """Write the files into the working tree; the user looks at `git diff` and commits."""
    for path, file in plan.files.items():
        if file.data is None:
            (root / path).unlink(missing_ok=True)
        else:
            write_atomically(root / path, file.data, mode=0o755 if file.is_executable else 0o644)
