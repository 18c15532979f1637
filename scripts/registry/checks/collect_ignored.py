"""Reads which files of a tree DVC sees, with its own readers of `.dvcignore` (dvc.ignore, 3.67) and `.gitignore`."""

import io
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

from dulwich.ignore import IgnoreFilter, read_ignore_patterns
from dvc.ignore import DvcIgnorePatterns

from registry.checks import tracked_files
from registry.checks.context import Facts, Hidden
from registry.checks.tracked_files import Policy
from registry.core import layout
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind
from registry.errors import InvalidDocument

PATH = ".dvcignore"
_LOCAL = (".venv/x.dvc", ".registry/x.dvc")  # folders that Git does not version, and other projects fill
_IMAGE = "0a8c7f6e-0000-4000-8000-000000000001.jpg"


def with_ignored(facts: Facts, tree: Tree, *, dvcignore: bool = True) -> Facts:
    """The facts, with files that DVC sees and should not, and those that it does not see. Raises InvalidDocument.

    Without `dvcignore`, only by Git's patterns: that file did not change.
    """
    git_ignore = _GitIgnore(tree)
    if not dvcignore:
        paths = (entry.path for entry in tree.list() if tracked_files.row_of(entry.path).policy is Policy.JUDGED)
        return replace(facts, hidden=tuple(found for path in paths if (found := git_ignore.find(path))))
    patterns = _Patterns(tree.read(PATH) if tree.has(PATH) else b"")
    names = (entry.path for entry in tree.list() if tracked_files.is_dvc_file(entry.path))
    by_policy: dict[Policy, list[str]] = {}
    for path in names:
        by_policy.setdefault(tracked_files.row_of(path).policy, []).append(path)
    data = (path for artifact in sorted(facts.artifacts) for path in _data(artifact))
    needed = (*by_policy.get(Policy.JUDGED, ()), *data)
    templates = (*_LOCAL, *by_policy.get(Policy.OWNER, ()))
    return replace(
        facts,
        visible=tuple(path for path in templates if not patterns.find(path)),
        hidden=tuple(found for path in needed if (found := patterns.find(path) or git_ignore.find(path))),
    )


def _data(artifact: ArtifactId) -> Iterator[str]:
    """Places at which an artifact has data."""
    if artifact.kind is Kind.MODEL:
        yield from (
            f"{artifact}/{name}" for name in ("model.onnx", "model.onnx.data", "predictions.parquet", "metrics.json")
        )
        return
    yield layout.selection_path(artifact)
    for split in layout.SPLITS:
        yield f"{artifact}/prepared/{split}/metadata.parquet"
        yield f"{artifact}/prepared/{split}/label/{_IMAGE}"


class _GitIgnore:
    """The `.gitignore` files of a tree, each read once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read: dict[str, tuple[bytes, IgnoreFilter] | None] = {}

    def find(self, path: str) -> Hidden | None:
        """The pattern by which Git ignores a pointer or pipeline: DVC skips it. The nearest `.gitignore` decides."""
        if not tracked_files.is_dvc_file(path):
            return None
        parts = path.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            file = "/".join([*parts[:depth], ".gitignore"])
            if not (known := self._patterns_of(file)):
                continue
            data, patterns = known
            inside = parts[depth:]
            for end in range(1, len(inside) + 1):  # a folder that is ignored hides all that it has
                name = "/".join(inside[:end]) + "/" * (end < len(inside))
                if found := list(patterns.find_matching(name)):
                    if found[-1].is_exclude:
                        pattern = found[-1].pattern
                        rows = enumerate(data.splitlines(), 1)
                        number = next((at for at, line in rows if line.strip() == pattern), 1)
                        return Hidden(path, pattern.decode(errors="replace"), number, file)
                    if end == len(inside):
                        return None
        return None

    def _patterns_of(self, file: str) -> tuple[bytes, IgnoreFilter] | None:
        if file not in self._read:
            self._read[file] = None
            if self._tree.has(file):
                data = self._tree.read(file)
                self._read[file] = data, IgnoreFilter(read_ignore_patterns(io.BytesIO(data)))
        return self._read[file]


class _Patterns:
    """The patterns of a `.dvcignore` at the top of a repository, and where each stands."""

    def __init__(self, data: bytes) -> None:
        class Content:
            """The file system that DVC opens the file in."""

            sep = "/"
            isabs = staticmethod(posixpath.isabs)
            normpath = staticmethod(posixpath.normpath)
            dirname = staticmethod(posixpath.dirname)

            @staticmethod
            def open(_: str, encoding: str) -> TextIO:
                return io.TextIOWrapper(io.BytesIO(data), encoding=encoding)

        try:
            self._patterns = DvcIgnorePatterns.from_file(f"/{PATH}", Content, PATH)
        except ValueError as error:  # no UTF-8, or no pattern
            raise InvalidDocument(PATH, f"DVC cannot read it: {error}", fix="correct it, as UTF-8 text") from error

    def find(self, path: str) -> Hidden | None:
        """The pattern that hides a path, as DVC walks the folders above it; None where DVC sees the path."""
        parts = path.split("/")
        for depth, name in enumerate(parts, 1):
            folder, is_folder = "/".join(["", *parts[: depth - 1]]) or "/", depth < len(parts)
            matches, found = self._patterns.matches(folder, name, is_folder, details=True)
            if matches:
                _, line, pattern = found[-1].file_info.split(":", 2)
                return Hidden(path, pattern, int(line))
        return None
