"""The catalog's pages: complete, linked, escaped, small, the same for the same registry."""

import json
import posixpath
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import yaml

from registry.catalog.site import Catalog
from registry.core import schema
from registry.core.documents import Document
from registry.core.names import parse_tag
from registry.core.tree import DictTree
from registry.release import notes, overview
from registry.release.history import Release
from registry.release.notes import Lineage
from support import catalogs, memory_registries, repositories
from support.memory_registries import Registry
from support.repositories import Run

ATOM = "{http://www.w3.org/2005/Atom}"


class Links(HTMLParser):
    """The addresses that a page names, and its elements."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in ("href", "src") and value]
        self.found += [value for name, value in attrs if (tag, name) == ("option", "value") and value]


def faults(data: object) -> list[str]:
    found = schema.find_faults(Document("registry.json", data, {}), "catalog")
    return [fault.message for fault in found]


def pages(files: dict[str, bytes]) -> dict[str, Links]:
    return {path: Links(data) for path, data in files.items() if path.endswith(".html")}


def test_there_is_a_page_for_every_artifact_and_every_release() -> None:
    files = catalogs.rendered(catalogs.made(2, 3))
    assert {path for path in files if path.startswith("datasets/pets/")} == {
        "datasets/pets/index.html", *(f"datasets/pets/v1.{at}.0/index.html" for at in range(3)),
        *(f"datasets/pets/v1.{at}.0/croissant.json" for at in (1, 2)),
    }  # fmt: skip
    assert {path for path in files if "/" not in path} == {
        "index.html", "catalog.css", "catalog.js", "grid.js", "try.js", "registry.json", "feed.xml"
    }  # fmt: skip
    assert catalogs.rendered(catalogs.made(2, 3)) == files


def test_every_link_leads_to_a_page_and_nothing_is_loaded_from_elsewhere() -> None:
    files = catalogs.rendered(catalogs.made(2, 3))
    for path, page in pages(files).items():
        for link in page.found:
            if link.startswith(catalogs.REPOSITORY):
                continue
            assert not re.match(r"[a-z]+:|//", link), (path, link)
            assert posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(link))) in files, (path, link)
    assert b"@import" not in files["catalog.css"]


def test_texts_of_manifests_are_texts() -> None:
    for path, page in pages(catalogs.rendered(catalogs.made())).items():
        assert "img" not in page.tags, path
        described = "datasets/pets/v1.1.0" in path  # as Croissant, which no browser runs
        assert page.tags.count("script") == 1 + described, path
    data = catalogs.rendered(catalogs.made())["datasets/pets/index.html"].decode()
    assert "&lt;img src=" in data
    assert "{{ 7 * 7 }}" in data
    assert "\u202e" not in data


def test_what_is_withdrawn_or_wrong_is_told_on_its_page_and_never_offered() -> None:
    files = {path: data.decode() for path, data in catalogs.rendered(catalogs.made(1, 3)).items()}
    assert "<strong>Withdrawn:</strong> &lt;img" in files["datasets/pets/v1.0.0/index.html"]
    assert "<strong>Wrong:</strong> the manifest of its commit says 2.0.0" in files["datasets/pets/v1.0.0/index.html"]
    assert "datasets/pets --rev v1.2.0" in files["datasets/pets/index.html"]
    assert "datasets/pets --rev v1.0.0" not in files["datasets/pets/index.html"]
    assert '<span class="stage">prod</span>' in files["models/pets/v1.0.0/index.html"]


def test_a_model_says_how_its_training_is_repeated() -> None:
    registry, found = Registry(), list[Release]()
    memory_registries.put_dataset(registry)
    origin = {"origin": {"url": "https://zoo.example/pets"}, "measured_on": "datasets/pets", "trained_on": None}
    for at, changes in enumerate(({}, {"reproduce": {"tolerance": {"accuracy": 0.02, "f1": 0.1}}}, origin)):
        memory_registries.put_model(registry)
        data = {**yaml.safe_load(registry.files["models/pets/model.yaml"]), "version": f"1.{at}.0", **changes}
        kept = {key: value for key, value in data.items() if value is not None}
        registry.files["models/pets/model.yaml"] = memory_registries.dump(kept)
        tag = parse_tag(f"models/pets@v1.{at}.0")
        found.append(Release(tag, "c" * 40, at, notes.load(tag, registry.files.get), Lineage(), (), "", ""))
    catalog = Catalog("acme-data", overview.find(DictTree(registry.files), found), catalogs.REPOSITORY)
    files = {path: data.decode() for path, data in catalogs.rendered(catalog).items()}
    identical, near, elsewhere = (files[f"models/pets/v1.{at}.0/index.html"] for at in range(3))
    repeated = "repeats it and compares the metrics:"
    assert f"registry reproduce models/pets@v1.0.0</code> {repeated} every metric identical</dd>" in identical
    assert f"registry reproduce models/pets@v1.1.0</code> {repeated} accuracy within 0.02, f1 within 0.1</dd>" in near
    assert "elsewhere (https://zoo.example/pets): it cannot be repeated here" in elsewhere
    assert "registry reproduce" not in elsewhere + files["datasets/pets/index.html"]


def test_programs_read_the_same() -> None:
    catalog = catalogs.made(1, 3)
    files = catalogs.rendered(catalog)
    data = json.loads(files["registry.json"])
    assert faults(data) == []
    assert (data["name"], data["repository"], data["objects"]) == ("acme-data", catalogs.REPOSITORY, None)
    assert data["artifacts"] == [overview.to_json(one) for one in catalog.artifacts]
    entries = ElementTree.fromstring(files["feed.xml"]).findall(f"{ATOM}entry")
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert ids[0] == "tag:acme-data,2026-09-23:models/pets@v1.2.0"
    assert len(set(ids)) == 6
    links = [entry.find(f"{ATOM}link") for entry in entries]
    assert links[0] is not None
    assert links[0].get("href") == "https://data.acme.example/models/pets/v1.2.0/index.html"


def test_the_first_page_of_a_large_registry_is_small() -> None:
    files = catalogs.rendered(catalogs.made(100, 2))
    first = sum(len(files[name]) for name in ("index.html", "catalog.css", "catalog.js"))
    assert first < 200_000
    assert files["index.html"].count(b"<li data-words=") == 201


def test_the_schema_of_registry_json_is_closed() -> None:
    data = json.loads(catalogs.rendered(catalogs.made(1, 3))["registry.json"])
    product = data["artifacts"][0]["releases"][0]["products"][0]
    for change in ({"path": "../../etc"}, {"key": "files/md5/../x"}, {"kind": "link"}, {"more": 1}, {"bytes": -1}):
        data["artifacts"][0]["releases"][0]["products"] = [product | change]
        assert len(faults(data)) == 1, change
    data["artifacts"][0]["releases"][0]["products"] = [product]
    for address in ("https://data.acme.org/", "file:///data", "https://data.acme.org/?x="):
        assert len(faults(data | {"objects": address})) == 1, address
    assert faults(data | {"objects": "https://data.acme.org/registry"}) == []


# --- the command ------------------------------------------------------------------------------------------------------


def test_only_what_changed_is_written(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    out = tmp_path / "site"
    first = run_registry(released_model, "catalog", "build", "--out", str(out))
    assert (first.code, first.out) == (0, f"{out}/index.html: 15 files, 15 written, 0 removed\n")
    again = run_registry(released_model, "catalog", "build", "--out", str(out))
    assert again.out == f"{out}/index.html: 15 files, 0 written, 0 removed\n"
    repositories.git_in(released_model, "tag", "-d", "models/pets@v1.0.0")
    repositories.write_bytes(out / "about/index.html", b"ours")
    fewer = run_registry(released_model, "catalog", "build", "--out", str(out))
    assert fewer.out.endswith(" 2 removed\n")
    assert not (out / "models/pets/v1.0.0/index.html").exists()
    assert (out / "about/index.html").read_bytes() == b"ours"


def test_a_client_without_git_finds_every_object(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    repositories.sh(released_model, sys.executable, "-m", "dvc", "remote", "add", "public", "https://data.acme.org/r/")
    assert run_registry(released_model, "catalog", "build", "--out", str(tmp_path / "site")).code == 0
    data = json.loads((tmp_path / "site/registry.json").read_bytes())
    assert (faults(data), data["objects"]) == ([], "https://data.acme.org/r")
    found = {product["path"]: product for one in data["artifacts"] for product in one["releases"][0]["products"]}
    assert {path: (one["kind"], one["files"]) for path, one in found.items()} == {
        "datasets/pets/prepared": ("dir", 8), "models/pets/model.onnx": ("file", None)
    }  # fmt: skip
    for one in found.values():
        stored = (repositories.production(released_model) / one["key"]).read_bytes()
        assert repositories.md5(stored) == one["md5"].removesuffix(".dir")
    listed = json.loads((repositories.production(released_model) / found["datasets/pets/prepared"]["key"]).read_bytes())
    keys = [f"files/md5/{entry['md5'][:2]}/{entry['md5'][2:]}" for entry in listed]
    sizes = [(repositories.production(released_model) / key).stat().st_size for key in keys]
    assert sum(sizes) == found["datasets/pets/prepared"]["bytes"]


def test_a_folder_of_something_else_is_left_alone(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    repositories.write_bytes(theirs / "index.html", b"mine")
    done = run_registry(registry_repo, "catalog", "build", "--out", str(theirs))
    assert (done.code, done.err) == (
        1, f"error: {theirs} has files that are no catalog\n  hint: name an empty or new folder\n"
    )  # fmt: skip
    assert (theirs / "index.html").read_bytes() == b"mine"


def test_a_registry_without_artifacts_has_a_page(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    assert run_registry(registry_repo, "catalog", "build", "--out", str(tmp_path / "site")).code == 0
    assert b"There is no artifact yet." in (tmp_path / "site/index.html").read_bytes()
