"""How a consumer fetches a release: what cards, `registry show` and the catalog give to be copied."""

from collections.abc import Iterator
from typing import NamedTuple

from registry.core import layout
from registry.core.values import ArtifactId, Kind, Tag

_SHARDS = """\
import json

import fsspec
from datasets import Features, load_dataset

place = "{}"
with fsspec.open(f"{{place}}/index.json") as file:
    index = json.load(file)
files = {{
    split: [f"{{place}}/{{shard['name']}}" for shard in shards] for split, shards in index["splits"].items() if shards
}}
features = Features.from_dict(index["features"])
images = load_dataset("webdataset", data_files=files, features=features, streaming=True)"""


class Snippet(NamedTuple):
    """A way to fetch a release: its name, the language, and the text to copy."""

    name: str
    language: str
    text: str


def commands(tag: Tag, url: str, *, sidecar: bool) -> Iterator[str]:
    """With the package alone, which proves what it fetches; or with DVC, and how to prove what came.

    `sidecar`: the weights of a model lie beside its file.
    """
    yield _get(tag, url)
    yield from _with_dvc(tag, url, sidecar=sidecar)


def _get(tag: Tag, url: str) -> str:
    return f"registry get {tag} --repo {url}"


def _with_dvc(tag: Tag, url: str, *, sidecar: bool) -> Iterator[str]:
    paths = _paths(tag.artifact, sidecar=sidecar)
    yield f"dvc artifacts get {url} {tag.artifact} --rev v{tag.version}"
    yield from (f"dvc get {url} {path} --rev {tag}" for path in paths[1:])
    yield from (f"registry verify {tag} {_name(path)} --repo {url}" for path in paths)


def snippets(tag: Tag, url: str, *, sidecar: bool, shards: str = "") -> tuple[Snippet, ...]:
    """All ways, the plainest first; `shards` is where those of the release are, if it has some."""
    paths = _paths(tag.artifact, sidecar=sidecar)
    imports = [f"dvc import {url} {path} --rev {tag}" for path in paths]
    updates = [f"dvc update {_name(path)}.dvc --rev {tag}   # later, with a newer version" for path in paths]
    return (
        Snippet("registry get", "sh", _get(tag, url)),
        Snippet("Python", "python", _open(tag, url)),
        Snippet("DVC", "sh", "\n".join(_with_dvc(tag, url, sidecar=sidecar))),
        Snippet("In another DVC repository", "sh", "\n".join([*imports, *updates])),
        *((_images(tag, _name(paths[0])),) if tag.artifact.kind is Kind.DATASET else ()),
        *((Snippet("Shards, streamed by Hugging Face datasets", "python", _SHARDS.format(shards)),) if shards else ()),
    )


def _open(tag: Tag, url: str) -> str:
    """A program that opens the release."""
    use = {
        Kind.DATASET: ("images", "list(opened.images())  # opened.table, opened.torch(split), opened.hf()"),
        Kind.MODEL: ("session", "opened.session()  # of onnxruntime"),
    }
    name, value = use[tag.artifact.kind]
    opened = f'opened = registry.open("{tag.artifact}", "v{tag.version}", repo="{url}")'
    return f"import registry\n\n{opened}\n{name} = {value}"


def _paths(artifact: ArtifactId, *, sidecar: bool) -> list[str]:
    """The product, and the sidecar of a model that has one."""
    return [layout.product_path(artifact), *([layout.sidecar_path(artifact)] if sidecar else [])]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _images(tag: Tag, name: str) -> Snippet:
    return Snippet(
        "Hugging Face datasets",
        "python",
        f'from datasets import load_dataset\n\nimages = load_dataset("imagefolder", data_dir="{name}")  # {tag}',
    )
