"""The files of onnxruntime-web that a site has, so that a browser can run a model: from npm, or from a folder.

Every byte is compared with a checksum that is written here, wherever it is from. Nothing of the package is run here.
"""

import hashlib
import io
import tarfile
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

from registry.catalog.folder import Folder
from registry.core.progress import waiting
from registry.core.settings import Remote
from registry.errors import InvalidData, NotFound
from registry.storage.open import open_store

VERSION = "1.30.0"  # under the MIT License, as the first lines of its script say
NPM = "https://registry.npmjs.org"
ARCHIVE = f"onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"  # 33 MB, for what differs between kinds of GPU
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # SHA-512
FOLDER = f"onnxruntime-web-{VERSION}"  # in a site
FILES = {  # what runs on the processor: a script and WebAssembly, by SHA-256
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
MAX_BYTES = 64 << 20  # of the archive


def prepare(site: Folder, given: Path | None = None, registry: str = NPM) -> None:
    """Write the files that a site lacks, from the folder `given` or from `registry`.

    Raises NotFound, InvalidData (a checksum mismatch) and StorageFailed.
    """
    found = {name: data for name in FILES if (data := site.read(f"{FOLDER}/{name}")) and _is_right(name, data)}
    if found.keys() != FILES.keys():
        found = _read(given) if given else _unpack(_download(registry))
    for name, data in found.items():
        site.write(f"{FOLDER}/{name}", data)


def _is_right(name: str, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == FILES[name]


def _require(files: Iterable[tuple[str, bytes]], place: str) -> dict[str, bytes]:
    found = dict(files)
    if odd := [name for name, data in found.items() if not _is_right(name, data)]:
        raise InvalidData(f"{place}: checksum mismatch: {odd[0]} is not that of onnxruntime-web {VERSION}", ())
    return found


def _read(folder: Path) -> dict[str, bytes]:
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise NotFound(f"{folder} has no {missing[0]}, expected the folder `dist` of onnxruntime-web {VERSION}")
    return _require(((name, (folder / name).read_bytes()) for name in FILES), str(folder))


def _download(registry: str) -> bytes:
    found = bytearray()
    with waiting(f"downloading onnxruntime-web {VERSION}"):
        for chunk in open_store(Remote(registry), Path()).read(ARCHIVE):
            found += chunk
            if len(found) > MAX_BYTES:
                break
    if b64encode(hashlib.sha512(found).digest()).decode() != INTEGRITY:
        raise InvalidData(f"{registry}/{ARCHIVE}: checksum mismatch: content does not match its SHA-512", ())
    return bytes(found)


def _unpack(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        members = ((name, opened.extractfile(f"package/dist/{name}")) for name in FILES)
        return _require(((name, member.read()) for name, member in members if member), ARCHIVE)
