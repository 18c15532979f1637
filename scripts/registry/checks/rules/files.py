"""Rules on the files that Git tracks: text, small, with portable names; data belongs to DVC."""

import re
from collections.abc import Iterator

from registry.checks.context import LARGEST, Facts, File
from registry.checks.findings import Diagnostic, wrong
from registry.core import documents, wording
from registry.core.layout import FOLDERS, owner_of
from registry.core.values import Kind

_IMAGES = (".gif", ".ico", ".jpeg", ".jpg", ".pdf", ".png", ".webp", ".woff2")
_BINARY = (
    *(*_IMAGES, ".7z", ".arrow", ".bin", ".bmp", ".ckpt", ".feather", ".gz", ".h5", ".heic", ".npy", ".npz", ".onnx"),
    *(".parquet", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".tflite", ".tgz", ".tif", ".tiff", ".zip"),
)
_MAY_CONTAIN_IMAGES = ("docs/", "tests/")
_CLEAR = "registry checkout: removes what DVC's cache holds; move or delete the rest"


def files_are_small_text(facts: Facts) -> Iterator[Diagnostic]:
    """Git tracks text files of at most 500 kB, and no images, archives or weights.

    Images are allowed in `docs/` and `tests/`.

    Why: Git keeps every version of a file for ever, and every clone downloads all of them.

    How to fix: remove the file from Git (`git rm --cached PATH`) and track it with DVC, or keep it elsewhere. For
    a file that Git does not track yet: list it in `.gitignore`. For what another branch left: `registry checkout`.
    """
    for file in facts.files:
        if _is_data(file) or file.is_submodule:
            continue
        if is_leftover(file, facts):
            yield wrong(f"is data, and {owner_of(file.path)} is not in this commit", file.path, fix=_CLEAR)
        elif file.size > LARGEST:
            message = f"file is {wording.size(file.size)}; the limit for files in Git is {wording.size(LARGEST)}"
            yield wrong(message, file.path, fix=_untrack(file))
        elif not file.is_link and _is_binary(file):
            yield wrong("is a binary file; only text belongs in Git", file.path, fix=_untrack(file))


def is_leftover(file: File, facts: Facts) -> bool:
    """Whether it is data that another commit left: Git does not track it, and its artifact has no manifest here."""
    owner = owner_of(file.path)
    is_absent = owner is not None and owner not in facts.artifacts and not file.is_tracked
    return is_absent and (_is_data(file) or file.size > LARGEST or (not file.is_link and _is_binary(file)))


def _is_binary(file: File) -> bool:
    name = file.path.lower()
    if name.endswith(_IMAGES) and file.path.startswith(_MAY_CONTAIN_IMAGES):
        return False
    return not file.is_text or name.endswith(_BINARY)


def _untrack(file: File) -> str:
    if file.is_tracked:
        return f"git rm --cached '{file.path}'"
    return f"list /{file.path} in .gitignore, track it with DVC, or move it elsewhere"


def data_is_not_in_git(facts: Facts) -> Iterator[Diagnostic]:
    """Git tracks no file below a dataset's `raw/` or `prepared/`, and ignores all of them.

    Why: DVC tracks these folders. A file that Git tracks too can differ from what the `.dvc` file says, and DVC refuses
    to add an output that Git tracks.

    How to fix: run `git rm -r --cached` on the folder, and list `/raw` and `/prepared` in the dataset's `.gitignore`.
    For what another branch left: `registry checkout`, which removes what the cache holds.
    """
    found: dict[str, list[File]] = {}
    for file in facts.files:
        if _is_data(file):
            found.setdefault("/".join(file.path.split("/")[:3]), []).append(file)
    for folder, files in found.items():
        count = wording.plural(len(files), "data file")
        names = wording.abbreviate([file.path for file in files])
        ignore = f"list /raw and /prepared in {owner_of(folder)}/.gitignore"
        if any(file.is_tracked for file in files):
            message = f"{count} in Git, expected in DVC only: {names}"
            yield wrong(message, folder, fix=f"git rm -r --cached {folder}, and {ignore}")
        elif all(is_leftover(file, facts) for file in files):
            message = f"{count} here, and {owner_of(folder)} is not in this commit: {names}"
            yield wrong(message, folder, fix=_CLEAR)
        else:
            yield wrong(f"{count} that Git does not ignore, expected in DVC only: {names}", folder, fix=ignore)


def _is_data(file: File) -> bool:
    owner = owner_of(file.path)
    if owner is None or owner.kind is not Kind.DATASET:
        return False
    return file.path.startswith((f"{owner}/raw/", f"{owner}/prepared/"))


def merges_are_resolved(facts: Facts) -> Iterator[Diagnostic]:
    """No text file has the markers of an unresolved merge (`<<<<<<<`, `=======`, `>>>>>>>`), in any style of Git's.

    Why: `git add` takes a file with markers, and after a cherry-pick, a revert or `git stash pop` nothing else looks
    for them. Tools then read both sides as one, or neither.

    How to fix: edit the file to what both sides want. CODEOWNERS, `dvc.yaml`, the list in README.md, front matter
    and facts of cards: `registry check --fix`. Pointers: docs/contributor.md, Conflicts.
    """
    named = {path for files in facts.checked for path in files.faulty} | {part.path for part in facts.unreadable}
    named |= {stale.path for stale in facts.stale}
    for file in facts.files:
        if file.conflict and file.path not in named:
            yield wrong(documents.CONFLICT, file.path, file.conflict, documents.conflict_fix(file.path))


def texts_have_no_byte_order_mark(facts: Facts) -> Iterator[Diagnostic]:
    """`.dvcignore`, and scripts that begin with `#!`, do not start with a byte order mark.

    In YAML files and JSON the checks that read them say so; Git and Python skip it.

    Why: DVC reads the mark as a part of the first pattern, and the system finds no interpreter in the first line.
    Editors on Windows write it.

    How to fix: save the file as UTF-8 without a byte order mark.
    """
    for file in facts.files:
        if file.has_bom:
            yield wrong(documents.BOM, file.path, 1, documents.BOM_FIX)


def _is_in_artifact_folder(file: File) -> bool:
    return file.path.startswith(FOLDERS)


def file_names_are_portable(facts: Facts) -> Iterator[Diagnostic]:
    """A path has no control characters; in an artifact's folder it has ASCII characters only, without `\\`, `:` etc.

    Allowed there are letters, digits, spaces and `_ . / + @ = , ~ -`.

    Why: other names look like each other, break the output of tools, or cannot be checked out on every system.

    How to fix: rename the file.
    """
    unknown = tuple(f"{folder}/" for folder in facts.unknown_folders)
    for file in facts.files:
        allowed = r"[A-Za-z0-9_./+@=,~ -]+" if _is_in_artifact_folder(file) else r"[^\x00-\x1f\x7f\ud800-\udfff]+"
        if not file.path.startswith(unknown) and not re.fullmatch(allowed, file.path):
            fix = "rename it: ASCII letters, digits, _ . -"
            yield wrong(f"{file.path!a} contains characters that are not portable", file.path, fix=fix)
