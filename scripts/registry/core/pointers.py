"""What DVC's tools write: `.dvc` files and `dvc.lock`, read and written byte for byte as DVC does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename, dirname, join, normpath, relpath
from typing import Any

from registry.core import bounds, documents, output_names, parts, schema
from registry.core.digests import MD5
from registry.core.documents import Document
from registry.core.values import Build, Output
from registry.errors import InvalidDocument

RESTORE = "restore the pointer from Git, or write it again with `registry select`, `registry build` or `dvc add`"
FOLDERS = ("raw", "prepared")  # the outputs that are always folders
FILES = ("model.onnx", "model.onnx.data")  # always files


@dataclass(frozen=True, slots=True)
class Pointer:
    """A `.dvc` file: one output, or a dataset's parts; `build` is None where it does not record how they were built."""

    outputs: tuple[Output, ...]
    build: Build | None

    @property
    def md5(self) -> str:
        """The md5 that DVC gives the file or folder of the pointer's name: a `dvc.lock` has it."""
        if parts.is_part(self.outputs[0].path):
            return self.build.whole if self.build else ""
        return self.outputs[0].md5

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(output.size for output in self.outputs)

    @property
    def nfiles(self) -> int:
        """The number of all files."""
        return sum(output.nfiles or 0 for output in self.outputs)


def read_pointer(data: bytes, path: str) -> Output:
    """The one output of a `.dvc` file, its path made relative to the root. Raises InvalidDocument."""
    output, *others = read_outputs(data, path)
    if others:
        raise InvalidDocument(path, f"has {len(others) + 1:,} outputs, expected 1", fix=RESTORE)
    return output


def read_outputs(data: bytes, path: str) -> tuple[Output, ...]:
    """The outputs of a `.dvc` file, as `parse_outputs` gives them. Raises InvalidDocument."""
    document = documents.read_yaml(data, path)
    schema.require(document, "pointer")
    return parse_outputs(document)


def parse_outputs(document: Document) -> tuple[Output, ...]:
    """The outputs of a document that is valid by the schema of pointers, their paths made relative to the root.

    That is the file or folder of the pointer's name, or the folders of a version that is tracked in parts, sorted. A
    checkout writes there before anybody has read the pointer. Raises InvalidDocument for any other output.
    """
    name = basename(document.path).removesuffix(".dvc")
    if fault := output_names.find_fault(name):
        raise _misplaced(document, 0, f"its output {name} {fault}", "path")
    paths = [out["path"] for out in document.data["outs"]]
    if paths != [name] and (fault := _find_misplaced(name, paths)):
        raise _misplaced(document, 0, fault, "path")
    outs = enumerate(document.data["outs"])
    return tuple(_parse_output(document, number, name, out) for number, out in outs)


def _find_misplaced(name: str, paths: Sequence[str]) -> str:
    if name != parts.PREPARED or (len(paths) == 1 and not paths[0].startswith(f"{name}/")):
        return f"points to {', '.join(paths[:3])}, expected {name}"
    return parts.find_fault([path.removeprefix(f"{name}/") for path in paths])


def _parse_output(document: Document, number: int, name: str, out: Mapping[str, Any]) -> Output:
    output = Output(join(dirname(document.path), out["path"]), out["md5"], out["size"], out.get("nfiles"))
    if output.is_dir != (output.nfiles is not None):
        fault = "a folder has an MD5 that ends in .dir, and nfiles; a file has neither"
        raise _misplaced(document, number, fault, "md5")
    if (name in FOLDERS and not output.is_dir) or (name in FILES and output.is_dir):
        expected = "file" if name in FILES else "folder"
        raise _misplaced(document, number, f"does not point to the {expected} {output.path}", "md5")
    return output


def _misplaced(document: Document, number: int, fault: str, key: str) -> InvalidDocument:
    return InvalidDocument(document.path, fault, line=document.line(("outs", number, key)), fix=RESTORE)


def parse_build(document: Document) -> Build | None:
    """How the output of a pointer was built; None where the document, valid by its schema, has no `meta.build`.

    Raises InvalidDocument for a `meta.build` in another form than `registry build` writes.
    """
    build = document.data.get("meta", {}).get("build")
    if build is None:
        return None
    try:
        counts = {
            str(split): {str(label): bounds.count(number) for label, number in classes.items()}
            for split, classes in build["counts"].items()
        }
        whole = str(build.get("whole", ""))
        if whole and not MD5.fullmatch(whole):
            raise ValueError("whole is not the MD5 of a folder")
        return Build(str(build["selection"]), str(build["rule"]), bounds.count(build["images"]), counts, whole)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        line = document.line(("meta", "build"))
        fault = "meta.build is not in the form that `registry build` writes"
        if isinstance(error, ValueError):
            fault = f"{fault}: {error}"
        raise InvalidDocument(document.path, fault, line=line, fix="registry build") from error


def write_pointer(output: Output, meta: Mapping[str, Any]) -> bytes:
    """The `.dvc` file beside an output, in DVC's own key order: md5, size, nfiles, hash, path."""
    return write_outputs(dirname(output.path), [output], meta)


def write_outputs(folder: str, outputs: Sequence[Output], meta: Mapping[str, Any]) -> bytes:
    """The same in `folder`, for all folders of a version."""
    outs = [_write_output(output, relpath(output.path, folder or ".")) for output in outputs]
    return documents.write_yaml({"outs": outs, **({"meta": dict(meta)} if meta else {})})


def _write_output(output: Output, path: str) -> dict[str, object]:
    nfiles = {} if output.nfiles is None else {"nfiles": output.nfiles}
    return {"md5": output.md5, "size": output.size, **nfiles, "hash": "md5", "path": path}


@dataclass(frozen=True, slots=True)
class LockedFiles:
    """The outputs and dependencies of all stages in a `dvc.lock`, with paths relative to the registry's root."""

    outs: tuple[Output, ...]
    deps: tuple[Output, ...]


def read_lock(data: bytes, path: str) -> LockedFiles:
    """The outputs and dependencies that a `dvc.lock` names. Raises InvalidDocument."""
    document = documents.read_yaml(data, path)
    schema.require(document, "lock")
    return parse_lock(document)


def parse_lock(document: Document) -> LockedFiles:
    """The outputs and dependencies of a document that is valid by the schema of locks.

    A checkout writes the outputs before anybody has read the lock. Raises InvalidDocument for an output that is not in
    its folder, or has a name of `output_names`, and for a dependency outside of the registry.
    """
    found: dict[str, list[Output]] = {"outs": [], "deps": []}
    for name, stage in document.data["stages"].items():
        for kind, outputs in found.items():
            for place, entry in enumerate(stage.get(kind, ())):
                fault = _find_fault(document.path, entry["path"], kind)
                output = _output(document.path, entry)
                if kind == "outs" and not fault:
                    overlap = output_names.find_overlap(output.path, (one.path for one in outputs))
                    fault = overlap and f"the output {overlap}"
                if fault:
                    line = document.line(("stages", name, kind, place, "path"))
                    fix = "dvc repro"
                    raise InvalidDocument(document.path, f"{entry['path']}: {fault}", line=line, fix=fix)
                outputs.append(output)
    return LockedFiles(tuple(found["outs"]), tuple(found["deps"]))


def _find_fault(lock: str, path: str, kind: str) -> str:
    folder = dirname(lock)
    if kind == "outs":
        fault = output_names.find_fault(path)
        return f"the output is not in {folder}" if path.startswith("../") else fault and f"the output {fault}"
    is_outside = normpath(join(folder, path)).startswith(("..", "/"))
    return "the dependency is outside the registry" if is_outside else ""


def _output(lock: str, entry: Mapping[str, Any]) -> Output:
    return Output(normpath(join(dirname(lock), entry["path"])), entry["md5"], entry["size"], entry.get("nfiles"))
