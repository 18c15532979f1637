"""Rules on the files that Git holds: text, small, plainly named; data belongs to DVC."""

import re
from collections.abc import Iterator

from registry.checks.context import LARGEST, Facts, File
from registry.checks.findings import number, some, wrong
from registry.core.layout import owner_of
from registry.core.values import Finding, Kind

_IMAGES = (".gif", ".ico", ".jpeg", ".jpg", ".pdf", ".png", ".webp", ".woff2")
_BINARY = (
    *(*_IMAGES, ".7z", ".arrow", ".bin", ".bmp", ".ckpt", ".feather", ".gz", ".h5", ".heic", ".npy", ".npz", ".onnx"),
    *(".parquet", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".tflite", ".tgz", ".tif", ".tiff", ".zip"),
)
_MAY_HOLD_IMAGES = ("docs/", "tests/")
_ELSEWHERE = ("scripts/", "tests/", "benchmarks/")  # code, where such names are templates and examples


def files_are_small_text(facts: Facts) -> Iterator[Finding]:
    """Git holds no file over 500 kB and nothing binary (images, archives, weights), which every clone would carry.

    Pictures may lie in `docs/` and `tests/`.
    """
    for file in facts.files:
        if _is_data(file):
            continue
        if file.size > LARGEST:
            yield wrong(f"{file.size / 1e6:,.1f} MB are too much for Git", file.path, fix=_untrack(file))
        elif not file.is_link and _is_binary(file):
            yield wrong("is binary; Git holds text", file.path, fix=_untrack(file))


def _is_binary(file: File) -> bool:
    name = file.path.lower()
    if name.endswith(_IMAGES) and file.path.startswith(_MAY_HOLD_IMAGES):
        return False
    return not file.is_text or name.endswith(_BINARY)


def _untrack(file: File) -> str:
    return f"git rm --cached '{file.path}', and keep it with DVC or elsewhere"


def data_is_not_in_git(facts: Facts) -> Iterator[Finding]:
    """Nothing below a dataset's `raw/` or `prepared/` is in Git: DVC holds it, and its `.gitignore` says so."""
    found: dict[str, list[str]] = {}
    for file in facts.files:
        if _is_data(file):
            found.setdefault("/".join(file.path.split("/")[:3]), []).append(file.path)
    for folder, paths in found.items():
        fix = f"git rm -r --cached {folder}, and keep /raw and /prepared in {owner_of(folder)}/.gitignore"
        yield wrong(f"{number(len(paths), 'file')} of data in Git, which DVC holds: {some(paths)}", folder, fix=fix)


def _is_data(file: File) -> bool:
    owner = owner_of(file.path)
    return bool(owner) and file.path.startswith((f"{owner}/raw/", f"{owner}/prepared/")) and owner.kind is Kind.DATASET


def no_links(facts: Facts) -> Iterator[Finding]:
    """No symbolic link lies in an artifact's folder: it could lead a reader, or a job with credentials, anywhere."""
    for file in facts.files:
        if file.is_link and file.path.startswith(tuple(f"{kind.folder}/" for kind in Kind)):
            yield wrong("is a symbolic link", file.path, fix="commit the file itself, or remove the link")


def names_are_plain(facts: Facts) -> Iterator[Finding]:
    """A path has no control character, and in an artifact's folder is plain ASCII without `\\`, `:` and the like.

    Other names look like their twins, break lines in what prints them, or cannot be checked out everywhere.
    """
    strangers = tuple(f"{folder}/" for folder in facts.strangers)
    for file in facts.files:
        inside = file.path.startswith(tuple(f"{kind.folder}/" for kind in Kind))
        allowed = r"[A-Za-z0-9_./+@=,~ -]+" if inside else r"[^\x00-\x1f\x7f\ud800-\udfff]+"
        if not file.path.startswith(strangers) and not re.fullmatch(allowed, file.path):
            yield wrong(f"{file.path!a} is not a plain name", file.path, fix="rename it: ASCII letters, digits, _ . -")


def dvc_obeys_known_files_only(facts: Facts) -> Iterator[Finding]:
    """DVC reads every `.dvc`, `dvc.yaml` and `dvc.lock` that it finds, so they lie only where they are judged.

    These are the root's `dvc.yaml`, a dataset's `raw.dvc` and `prepared.dvc`, a model's `dvc.yaml` and `dvc.lock`.
    """
    for file in facts.files:
        name = file.path.rpartition("/")[2]
        if not (name.endswith(".dvc") or name in ("dvc.yaml", "dvc.lock")) or file.path.startswith(_ELSEWHERE):
            continue
        owner = owner_of(file.path)
        known = {
            None: {"dvc.yaml"},
            Kind.DATASET: {f"{owner}/raw.dvc", f"{owner}/prepared.dvc"},
            Kind.MODEL: {f"{owner}/dvc.yaml", f"{owner}/dvc.lock"},
        }
        if file.path not in known[owner.kind if owner else None]:
            yield wrong("is a file that DVC would obey, in a place where none belongs", file.path, fix="remove it")
