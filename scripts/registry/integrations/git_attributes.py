"""How Git converts files between its objects and the working tree: line ends, filters, encodings (gitattributes(5))."""

from collections.abc import Iterable
from pathlib import Path
from stat import S_IMODE

from registry.core.atomic_write import write_atomically
from registry.integrations.git import output, split_records
from registry.integrations.git_commits import temporary_index

# What makes a file in a working tree, or in an archive, another one than its object; the values that do not.
_CONVERSIONS = {
    "filter": ("unspecified", "unset"),
    "ident": ("unspecified", "unset"),
    "working-tree-encoding": ("unspecified", "unset"),
    "eol": ("unspecified", "unset", "lf"),
    "export-subst": ("unspecified", "unset"),
}
_HASHED_OR_RUN = ("datasets", "models", "scripts")


def conversions(root: Path, paths: Iterable[str], *, staged: bool, commit: str = "") -> dict[str, tuple[str, ...]]:
    """By path: the attributes (`filter=lfs`, `ident`) by which Git would convert these files; only those that have one.

    Git decides by all `.gitattributes` of the working tree (`staged`: of the index; or of a `commit`), and by
    `.git/info/attributes`.
    """
    stdin = "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")
    if commit:  # `git check-attr --source` needs Git 2.40
        with temporary_index(root) as index:
            index.run("read-tree", commit)
            text = index.run("check-attr", "-z", "--stdin", "--cached", *_CONVERSIONS, stdin=stdin)
    else:
        text = output(root, "check-attr", "-z", "--stdin", *["--cached"] * staged, *_CONVERSIONS, stdin=stdin)
    listed = text.split("\0")[:-1]
    found: dict[str, list[str]] = {}
    for path, name, value in zip(listed[::3], listed[1::3], listed[2::3], strict=True):
        if value not in _CONVERSIONS[name]:
            found.setdefault(path, []).append(name if value == "set" else f"{name}={value}")
    return {path: tuple(attributes) for path, attributes in found.items()}


def paths_with_other_line_ends(root: Path) -> tuple[str, ...]:
    """The text files with CRLF in the working tree that have LF in Git, unless an attribute wants CRLF.

    Only files that DVC may hash or a shell may run: what else has CRLF is read all the same.
    """
    found = []
    for record in split_records(output(root, "ls-files", "--eol", "-z", "--", *_HASHED_OR_RUN)):
        facts, _, path = record.partition("\t")
        index, tree, *attributes = facts.split()
        if index == "i/lf" and tree in ("w/crlf", "w/mixed") and "eol=crlf" not in attributes:
            found.append(path)
    return tuple(found)


def write_line_ends(root: Path, paths: Iterable[str]) -> None:
    """Give files LF line ends. One that Git knew to be unmodified stays so: its size in the index is the new one."""
    modified = set(split_records(output(root, "diff-files", "--name-only", "-z")))
    written = []
    for path in paths:
        file = root / path
        data = file.read_bytes().replace(b"\r\n", b"\n")
        write_atomically(file, data, mode=S_IMODE(file.stat().st_mode))
        if path not in modified:
            written.append(path)
    stdin = "".join(f"{path}\0" for path in written).encode(errors="surrogateescape")
    output(root, "update-index", "-z", "--stdin", stdin=stdin)
