"""A release of a dataset as Croissant 1.1: JSON-LD that search engines and loaders read (docs.mlcommons.org/croissant).

It describes the files as they are fetched: `croissant.json` is put beside the folder `prepared`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from registry.core.layout import SPLITS
from registry.core.values import Column, DatasetManifest
from registry.release.history import Release

VERSION = "http://mlcommons.org/croissant/1.1"
TYPES = {
    "uuid": "sc:Text", "string": "sc:Text", "integer": "cr:Int64", "number": "cr:Float64", "boolean": "sc:Boolean",
    "date": "sc:Date", "datetime": "sc:DateTime",
}  # fmt: skip
PICTURES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
# The context of the specification, Appendix 1.
CONTEXT: Mapping[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "arrayShape": "cr:arrayShape", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract", "field": "cr:field", "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "parentField": "cr:parentField", "path": "cr:path", "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip


def describe(release: Release, manifest: DatasetManifest, page: str, repository: str) -> dict[str, Any]:
    """The description of a release; `page` is the address of its page, or empty where that is not known."""
    version, folder = release.tag.version, "prepared/*/*" if manifest.folders else "prepared/*"
    return {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": release.tag.artifact.name,
        "alternateName": manifest.title,
        "description": manifest.description,
        "version": str(version),
        "datePublished": release.date,
        "license": _license(manifest.license),
        "creator": [{"@type": "sc:Organization", "name": owner} for owner in manifest.owners],
        "url": page or repository,
        "identifier": str(release.tag),
        "citeAs": f"{manifest.title}, version {version}, {release.date}. {page or repository}",
        "isAccessibleForFree": True,
        "keywords": list(manifest.classes[:50]),
        "distribution": [
            _files("image-files", [f"{folder}/*/*.{ending}" for ending in PICTURES], [*PICTURES.values()]),
            _files("table-files", [f"{folder}/metadata.parquet"], ["application/x-parquet"]),
        ],
        "recordSet": [_splits(), _images(folder), _rows(manifest)],
    }


def _license(name: str) -> str:
    return name if name.startswith("LicenseRef-") else f"https://spdx.org/licenses/{name}.html"


def _files(name: str, includes: list[str], encoding: list[str]) -> dict[str, Any]:
    return {"@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": encoding, "includes": includes}


def _splits() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": split} for split in SPLITS],
    }


def _images(folder: str) -> dict[str, Any]:
    """Each image with what its path says; `folder` stands for those that have a table."""
    path, above = {"fileProperty": "fullpath"}, folder.replace("*", "[^/]+")
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "key": {"@id": "images/uuid"},
        "field": [
            _field("images/uuid", "sc:Text", "image-files", path, r".*/([^/]+)\.[a-z]+$"),
            _field("images/image", "sc:ImageObject", "image-files", {"fileProperty": "content"}),
            _field("images/split", "sc:Text", "image-files", path, r"prepared/([^/]+)/"),
            _field("images/label", "sc:Text", "image-files", path, rf"{above}/([^/]+)/"),
        ],
    }


def _rows(manifest: DatasetManifest) -> dict[str, Any]:
    """The tables of all splits, with every column of the manifest."""
    fields = [
        _field("rows/file_name", "sc:Text", "table-files", {"column": "file_name"}),
        _field("rows/label_name", "sc:Text", "table-files", {"column": "label_name"}),
        *(_column(column) for column in _columns(manifest)),
    ]
    return {"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}


def _columns(manifest: DatasetManifest) -> Iterator[Column]:
    return (column for column in manifest.columns if column.name != "label")


def _column(column: Column) -> dict[str, Any]:
    return _field(f"rows/{column.name}", TYPES[column.type], "table-files", {"column": column.name})


def _field(name: str, kind: str, files: str, extract: Mapping[str, str], pattern: str = "") -> dict[str, Any]:
    source = {"fileSet": {"@id": files}, "extract": dict(extract)}
    transform = {"transform": {"regex": pattern}} if pattern else {}
    return {
        "@type": "cr:Field", "@id": name, "name": name.rpartition("/")[2], "dataType": kind,
        "source": {**source, **transform},
    }  # fmt: skip
