"""The images that a model was trained on elsewhere, as a text file beside its manifest lists them."""

import hashlib
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from polars import Boolean, DataFrame, Series, col

from registry.core.artifact_files import Files, Reader
from registry.core.values import ModelManifest
from registry.core.wording import plural
from registry.errors import InvalidDocument

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASH = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
FIX = "write one UUID, MD5 or SHA-256 per line; a line that starts with # is a comment"


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """What a list names; lower case. A UUID without dashes looks like an MD5, and is both."""

    uuids: frozenset[str] = frozenset()
    md5s: frozenset[str] = frozenset()
    sha256s: frozenset[str] = frozenset()


def read(files: Files, manifest: ModelManifest) -> TrainingImages | None:
    """The images that a manifest's `origin.training_images` lists; None where it names no file.

    Raises InvalidDocument for a file that is missing or larger than 1 MiB, and for lines in another form.
    """
    if manifest.origin is None or manifest.origin.training_images is None:
        return None
    path = f"{manifest.id}/{manifest.origin.training_images}"
    if path not in files.entries:
        raise InvalidDocument(
            path, "is missing: origin.training_images names it", fix="add the file, or remove the key"
        )
    return parse(files.read(path), path)


def parse(data: bytes, path: str) -> TrainingImages:
    """The images that a text lists. Raises InvalidDocument, which names the first lines in another form."""
    lines = list(_lines(_decode(data, path)))
    if not lines:
        raise InvalidDocument(path, "names no image", line=1, fix=FIX)
    odd = [(number, text) for number, text in lines if not (_UUID.fullmatch(text) or _HASH.fullmatch(text))]
    if odd:
        number, text = odd[0]
        more = f"; {plural(len(odd) - 1, 'more line')} like it" if len(odd) > 1 else ""
        fault = f"{text[:80]!r} is neither a UUID nor an MD5 nor a SHA-256{more}"
        raise InvalidDocument(path, fault, line=number, fix=FIX)
    names = {text for _, text in lines}
    short = {text for text in names if len(text) == 32}
    dashed = {f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}" for one in short}
    uuids = {text for text in names if len(text) == 36} | dashed
    return TrainingImages(frozenset(uuids), frozenset(short), frozenset(text for text in names if len(text) == 64))


def _decode(data: bytes, path: str) -> str:
    """The text; editors on Windows write a byte order mark, and UTF-16."""
    is_utf_16 = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDocument(path, "not UTF-8 text", line=data[: error.start].count(b"\n") + 1, fix=FIX) from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are neither empty nor a comment, lower case, with their numbers from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().lower()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def seen(listed: TrainingImages, images: DataFrame, read_object: Reader) -> tuple[DataFrame, int]:
    """Those of the images (columns uuid, md5) that are listed, and how many could not be compared.

    Only a SHA-256 needs an image's bytes, which `read_object` is asked for.
    """
    if images.is_empty():
        return images.select("uuid", "md5"), 0
    is_listed = col("uuid").is_in(Series(sorted(listed.uuids))) | col("md5").is_in(Series(sorted(listed.md5s)))
    found = images.filter(is_listed).select("uuid", "md5")
    if not listed.sha256s:
        return found, 0
    rest = images.join(found, on="uuid", how="anti").select("uuid", "md5")
    hashed = [_sha256(md5, read_object) for md5 in rest["md5"]]
    more = rest.filter(Series([one in listed.sha256s for one in hashed], dtype=Boolean))
    return found.vstack(more).sort("uuid"), hashed.count(None)


def _sha256(md5: str, read_object: Callable[[str], bytes | None]) -> str | None:
    data = read_object(md5)
    return hashlib.sha256(data).hexdigest() if data is not None else None
