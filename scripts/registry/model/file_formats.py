"""What a file is that is not ONNX, by its first bytes and never by its name; and how its model becomes ONNX."""

import zipfile
from pathlib import Path
from typing import NamedTuple

_HEAD = 4_096  # bytes that are looked at
_NAMES = 10_000  # entries of an archive that are looked at
_PYTORCH, _KERAS, _SKLEARN = "PyTorch", "Keras and TensorFlow", "scikit-learn"
_DOWNLOAD = "download the file itself; a login or an error page is often saved in its place"


class Format(NamedTuple):
    """What a file is, such as `a pickle`, and what to do."""

    name: str
    fix: str


def _export(framework: str) -> str:
    return f"export the model to ONNX: docs/models.md, {framework}"


_ANY = "export the model to ONNX with the framework that made it: docs/models.md"
_PICKLE = Format("a pickle, which runs code when it is opened (PyTorch, scikit-learn, joblib)", _export(_PYTORCH))
_STARTS = {  # at the beginning of the file
    b"\x80\x02": _PICKLE,
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
    b"ccopy_reg\n": _PICKLE,
    b"(dp": _PICKLE,
    b"(lp": _PICKLE,
    b"\x89HDF\r\n\x1a\n": Format("an HDF5 file, such as Keras writes", _export(_KERAS)),
    b"GGUF": Format("a GGUF file, the weights of a language model", _ANY),
    b"\x93NUMPY": Format("a NumPy array", _ANY),
    b"version https://git-lfs": Format("a pointer of Git LFS, not the file itself", "git lfs pull, then name it again"),
    b"\x1f\x8b": Format(
        "a file compressed with gzip", "decompress it first; if that gives a pickle, export it to ONNX"
    ),
    b"BZh": Format("a file compressed with bzip2", "decompress it first; if that gives a pickle, export it to ONNX"),
    b"\xfd7zXZ": Format("a file compressed with xz", "decompress it first; if that gives a pickle, export it to ONNX"),
    b"\x28\xb5\x2f\xfd": Format("a file compressed with Zstandard", "decompress it first"),
    b"x\x01": Format("a file compressed with zlib, such as joblib writes", _export(_SKLEARN)),
    b"x\x9c": Format("a file compressed with zlib, such as joblib writes", _export(_SKLEARN)),
    b"x\xda": Format("a file compressed with zlib, such as joblib writes", _export(_SKLEARN)),
    b"\x7fELF": Format("a compiled library", _ANY),
    b"ftrt": Format("an engine of TensorRT, which runs on one kind of GPU", _ANY),
    b"7767517": Format("a network of ncnn", _ANY),
    b"outs:": Format("a DVC pointer, not the file itself", "dvc pull, then name the file"),
}
_FIFTH = {  # from the fifth byte: the identifier of a FlatBuffer
    b"TFL3": Format("a TensorFlow Lite file", _export(_KERAS)),
    b"ORTM": Format("a file in ONNX Runtime's own format", "name the .onnx file that it was made of"),
    b"ET12": Format("a program of ExecuTorch", _export(_PYTORCH)),
}


def recognise(path: Path) -> Format | None:
    """What a file or folder is; None for one that may be ONNX. Nothing of it is run. Raises OSError."""
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return Format("an empty file", _DOWNLOAD)
    if zipfile.is_zipfile(path):
        return _archive(path)
    found = next((what for start, what in _STARTS.items() if head.startswith(start)), None)
    return found or _FIFTH.get(head[4:8]) or _text(head) or _binary(head, path.stat().st_size)


def _folder(path: Path) -> Format:
    if (path / "saved_model.pb").exists():
        return Format("a folder of TensorFlow (SavedModel)", _export(_KERAS))
    if path.suffix == ".mlpackage" or (path / "coremldata.bin").exists():
        return Format("a folder of Core ML", _ANY)
    return Format("a folder", "name the .onnx file in it")


def _archive(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_NAMES]
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return Format("a damaged ZIP archive", _DOWNLOAD)
    ends = {name.partition("/")[2] for name in names}
    if "constants.pkl" in ends or any(end.startswith("code/") for end in ends):
        return Format("a TorchScript file", _export(_PYTORCH))
    if "data.pkl" in {*ends, *names}:
        return Format("a checkpoint of PyTorch, a pickle, which runs code when it is opened", _export(_PYTORCH))
    if "model.weights.h5" in names:
        return Format("a Keras file", _export(_KERAS))
    if any(name.endswith("saved_model.pb") for name in names):
        return Format("an archive of a TensorFlow SavedModel", _export(_KERAS))
    if any(".mlmodel" in name or "com.apple.CoreML" in name for name in names):
        return Format("an archive of Core ML", _ANY)
    if any(name.endswith(".onnx") for name in names):
        return Format("an archive with an .onnx file in it", "unpack it, and name that file")
    return Format("a ZIP archive", "unpack it, and name the .onnx file in it; or export the model to ONNX")


def _text(head: bytes) -> Format | None:
    for bom, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if head.startswith(bom):
            head = head.decode(encoding, "ignore").lstrip("\ufeff").encode()
            break
    start = head.lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<") and b"<html" in start):
        return Format("an HTML page", _DOWNLOAD)
    if start.startswith((b"<?xml", b"<net ")):
        return Format("an XML file, such as OpenVINO and PMML write or a store answers", _ANY)
    if start.startswith((b'{"', b"{\n", b"{\r", b"{ ", b"[{")):
        return Format("a JSON file, such as TensorFlow.js writes or a server answers", _DOWNLOAD)
    if not head.translate(None, bytes([*range(32, 127), 9, 10, 13])):
        return Format("a text file", _ANY)
    return None


def _binary(head: bytes, size: int) -> Format | None:
    length = int.from_bytes(head[:8], "little")
    if len(head) > 8 and head[8:9] == b"{" and 2 <= length <= size - 8:
        return Format("a safetensors file: weights without the network that they belong to", _export(_PYTORCH))
    if head[257:262] == b"ustar":
        return Format("a tar archive", "unpack it, and name the .onnx file in it; or export the model to ONNX")
    if head[:1] == b"\x08" and head[2:3] == b"\x12" and b"\x0a" in head[4:7] and head[1] < 16:
        return Format("a Core ML or TensorFlow file", _ANY)  # in ONNX, the name of a producer comes there
    if head[:512] == b"\x00" * 512:
        return Format("zero bytes, as a broken download leaves them", _DOWNLOAD)
    return None
