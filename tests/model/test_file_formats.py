"""What is no ONNX file is told by its bytes, with a way to export it; nothing of it is run, and nothing stays."""

import gzip
import io
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save

from registry.model import file_formats
from support import model_files, repositories
from support.repositories import Run


class Hostile:
    """A pickle that creates a file when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("opened"),)


def torch_file(value: object, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def torchscript() -> bytes:
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), out)
    return out.getvalue()


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return out.getvalue()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        file.addfile(tarfile.TarInfo("model.onnx"))
    return out.getvalue()


def array() -> bytes:
    out = io.BytesIO()
    numpy.save(out, numpy.zeros(3))
    return out.getvalue()


WEIGHTS = torch.nn.Linear(2, 2).state_dict()
FILES: dict[str, tuple[Callable[[], bytes] | bytes, str]] = {
    "pickle": (lambda: pickle.dumps(Hostile()), "a pickle, which runs code"),
    "pickle protocol 2": (lambda: pickle.dumps(Hostile(), protocol=2), "a pickle, which runs code"),
    "pickle protocol 0": (lambda: pickle.dumps({"a": Hostile()}, protocol=0), "a pickle, which runs code"),
    "PyTorch": (lambda: torch_file(WEIGHTS), "a checkpoint of PyTorch"),
    "PyTorch before 1.6": (lambda: torch_file(WEIGHTS, _use_new_zipfile_serialization=False), "a pickle"),
    "TorchScript": (torchscript, "a TorchScript file"),
    "joblib": (lambda: zlib.compress(pickle.dumps(Hostile())), "compressed with zlib, such as joblib"),
    "gzip": (lambda: gzip.compress(b"x"), "compressed with gzip"),
    "safetensors": (lambda: save(WEIGHTS), "a safetensors file"),
    "Keras 3": (lambda: archive("config.json", "model.weights.h5", "metadata.json"), "a Keras file"),
    "Keras 2": (b"\x89HDF\r\n\x1a\n" + bytes(600), "an HDF5 file"),
    "SavedModel": (lambda: archive("m/saved_model.pb", "m/variables/variables.index"), "TensorFlow SavedModel"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(600), "a TensorFlow Lite file"),
    "ONNX Runtime": (b"\x1c\0\0\0ORTM" + bytes(600), "ONNX Runtime's own format"),
    "Core ML": (
        lambda: archive("x.mlpackage/Manifest.json", "x.mlpackage/Data/com.apple.CoreML/model.mlmodel"),
        "Core ML",
    ),
    "Core ML of one file": (b"\x08\x04\x12\x20\x0a\x0c\x0a\x05image" + bytes(600), "Core ML"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(600), "a GGUF file"),
    "HTML": (b"\n<!DOCTYPE html><title>Log in</title>", "an HTML page"),
    "HTML with a mark": ("\ufeff<html><body>404".encode("utf-16"), "an HTML page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file"),
    "JSON": (b'{"error": "Unauthorized"}', "a JSON file"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS"),
    "DVC": (b"outs:\n- md5: 0\n", "a DVC pointer"),
    "text": (b"tree\nversion=v4\nnum_class=2\n", "a text file"),
    "tar": (tar, "a tar archive"),
    "NumPy": (array, "a NumPy array"),
    "zeros": (bytes(2_000), "zero bytes"),
    "empty": (b"", "an empty file"),
    "zipped": (lambda: archive("model/model.onnx"), "an archive with an .onnx file in it"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_refused_by_what_it_is(
    name: str, registry_repo: Path, tmp_path: Path, run_registry: Run
) -> None:
    data, what = FILES[name]
    repositories.dataset(registry_repo, "pets", repositories.PETS, "1.0.0")
    file = tmp_path / "model.onnx"  # the name says nothing
    file.write_bytes(data if isinstance(data, bytes) else data())
    refuse(registry_repo, file, run_registry, f"{file} is ", what, "expected an ONNX file")
    assert not (registry_repo / "opened").exists()


def refuse(root: Path, file: Path, run: Run, *words: str) -> None:
    """The file is refused, and nothing of it stays."""
    before = sorted(root.rglob("*"))
    found = run(root, "new", "model", "pets", "--from", str(file), "--origin", "https://example.com/pets")
    assert found.refused(*words), found.err
    left = set(root.rglob("*")) - set(before)
    assert [path for path in left if path.is_file() and ".git/" not in str(path)] == []
    assert not (root / "models/pets").exists()


@pytest.mark.parametrize("name", ["saved_model.pb", "coremldata.bin", "other"])
def test_a_folder_is_refused(name: str, registry_repo: Path, tmp_path: Path, run_registry: Run) -> None:
    repositories.dataset(registry_repo, "pets", repositories.PETS, "1.0.0")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).write_bytes(b"x")
    refuse(registry_repo, tmp_path / "folder", run_registry, "is a folder")


def test_an_onnx_file_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    for data in (model_files.threshold(1), model_files.threshold(1, note="\n"), bytes([8, 10])):
        file.write_bytes(data)
        assert file_formats.recognise(file) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x08\x0anot a protobuf message", ("is not an ONNX file",)),
        (model_files.threshold(1)[:200], ("is not an ONNX file",)),
        (model_files.build(*model_files.network(1), metadata={}), ("the metadata has no entry `classes`",)),
        (
            model_files.threshold(1, classes=("bird", "fish")),
            ("has the classes bird and fish, and none of cat and dog",),
        ),
    ],
    ids=["garbage", "cut off", "no metadata", "other classes"],
)
def test_an_onnx_file_in_another_form_is_refused(
    data: bytes, words: tuple[str, ...], registry_repo: Path, tmp_path: Path, run_registry: Run
) -> None:
    repositories.dataset(registry_repo, "pets", repositories.PETS, "1.0.0")
    file = tmp_path / "model.onnx"
    file.write_bytes(data)
    refuse(registry_repo, file, run_registry, *words)


def test_classes_that_differ_are_told(registry_repo: Path, tmp_path: Path, run_registry: Run) -> None:
    repositories.dataset(registry_repo, "pets", repositories.PETS, "1.0.0")
    file = tmp_path / "model.onnx"
    file.write_bytes(model_files.threshold(1, classes=("cat", "fish")))
    found = run_registry(
        registry_repo, "new", "model", "pets", "--from", str(file), "--origin", "https://example.com/pets", "--dry-run"
    )
    assert "the model does not know dog of datasets/pets: images of it count as wrong" in found.out
    assert "the model also knows fish, which datasets/pets does not have" in found.out
    assert not (registry_repo / "models").exists()


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://example.com/pets", "format"),
        ("https://me:secret@example.com/pets", "format"),
        ("https://example.com/pets.onnx?X-Amz-Signature=abc", "format"),
        ("C:\\models\\pets.onnx", "format"),
        ("s3://bucket/pets.onnx", "format"),
    ],
)
def test_an_origin_that_is_no_address_is_refused(
    url: str, word: str, registry_repo: Path, tmp_path: Path, run_registry: Run
) -> None:
    repositories.dataset(registry_repo, "pets", repositories.PETS, "1.0.0")
    file = tmp_path / "model.onnx"
    file.write_bytes(model_files.threshold(1))
    found = run_registry(registry_repo, "new", "model", "pets", "--from", str(file), "--origin", url)
    assert found.refused("--origin", word)
    assert not (registry_repo / "models").exists()
