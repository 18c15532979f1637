"""Google Cloud Storage on loopback: buckets in memory behind the XML API (obstore) and the JSON API (gcsfs, so DVC).

No emulator has both: fake-gcs-server answers uploads of the XML API with 400, and gcp-storage-emulator sends no ETag.
This one is as strict as Google where clients rely on it: preconditions on generations and ETags, ETags that are an
MD5 only where an object was uploaded at once, 404 for a deletion of nothing, and logins. What it does not know it
answers with 501, and keeps in `unknown`.

Sources: Google, "XML API reference", "JSON API reference" (v1), "Request preconditions", "Hashes and ETags".
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import RLock, Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from support.servers import google_answers
from support.servers.google_answers import Answer, GoogleError
from support.servers.google_login import ServiceAccount

_TOKENS = "https://oauth2.googleapis.com/token"  # for whom google-auth signs, wherever the endpoint for tokens is


@dataclass(frozen=True, slots=True)
class GoogleObject:
    """An object: `generation` changes with each upload; `is_composed` if it came in parts, so that it has no MD5."""

    name: str
    data: bytes
    generation: int
    updated: datetime
    is_composed: bool = False

    @property
    def md5(self) -> bytes:
        return hashlib.md5(self.data, usedforsecurity=False).digest()

    @property
    def etag(self) -> str:
        """The XML API's, in quotes; the JSON API's is another."""
        tag = base64.b64encode(str(self.generation).encode()).decode() if self.is_composed else self.md5.hex()
        return f'"{tag}"'


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; `query` has the last value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class GoogleStorage:
    """The service, its buckets and its accounts. `with serve(storage):`, and clients go to `url`."""

    buckets: dict[str, dict[str, GoogleObject]] = field(default_factory=dict)
    accounts: list[ServiceAccount] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    page: int = 1000  # objects in a page of a listing
    versioned: set[str] = field(default_factory=set)  # buckets that keep what is replaced or deleted
    soft: set[str] = field(default_factory=set)  # buckets that keep what was deleted for good, for a week
    url: str = ""
    lock: RLock = field(default_factory=RLock)
    _uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _generation: int = 1_700_000_000_000_000
    _archive: list[tuple[str, GoogleObject]] = field(default_factory=list)
    _bin: list[tuple[str, GoogleObject]] = field(default_factory=list)

    def account(self, folder: Path, name: str, *, may_write: bool = True) -> Path:
        """A new service account's file of credentials."""
        made = ServiceAccount(f"{name}@acme.iam.gserviceaccount.com", may_write=may_write)
        self.accounts.append(made)
        return made.write(folder / f"{name}.json", f"{self.url}/token")

    # --- objects ------------------------------------------------------------------------------------------------------

    def put(
        self, bucket: str, key: str, data: bytes, wanted: str | None = None, *, is_composed: bool = False
    ) -> GoogleObject:
        """Store an object, if its generation now is `wanted` (0: there is none). Raises GoogleError."""
        with self.lock:
            objects = self.bucket(bucket)
            now = objects[key].generation if key in objects else 0
            if wanted is not None and int(wanted) != now:
                raise google_answers.CHANGED
            self._generation += 1
            if key in objects and bucket in self.versioned:
                self._archive.append((bucket, objects[key]))
            objects[key] = GoogleObject(key, data, self._generation, datetime.now(UTC), is_composed)
            return objects[key]

    def bucket(self, name: str) -> dict[str, GoogleObject]:
        """Raises GoogleError."""
        if name not in self.buckets:
            raise google_answers.NO_BUCKET
        return self.buckets[name]

    def find(self, bucket: str, key: str) -> GoogleObject:
        """Raises GoogleError."""
        with self.lock:
            objects = self.bucket(bucket)
            if key not in objects:
                raise google_answers.NO_OBJECT
            return objects[key]

    def delete(self, bucket: str, key: str) -> None:
        """Raises GoogleError, also where there is no such object."""
        with self.lock:
            found = self.find(bucket, key)
            del self.buckets[bucket][key]
            kept = self._archive if bucket in self.versioned else self._bin if bucket in self.soft else []
            kept.append((bucket, found))

    def delete_generation(self, bucket: str, key: str, generation: str) -> None:
        """One generation for good, current or not. Raises GoogleError."""
        with self.lock:
            found = [
                one for one in self.generations(bucket, key) if (one.name, str(one.generation)) == (key, generation)
            ]
            if not found:
                raise google_answers.NO_OBJECT
            if self.buckets[bucket].get(key) == found[0]:
                del self.buckets[bucket][key]
            self._archive = [one for one in self._archive if one[1] != found[0]]
            if bucket in self.soft:
                self._bin.append((bucket, found[0]))

    def generations(self, bucket: str, prefix: str) -> list[GoogleObject]:
        """Every generation of the objects with a prefix."""
        every = [*self.bucket(bucket).values(), *(one for place, one in self._archive if place == bucket)]
        return sorted((one for one in every if one.name.startswith(prefix)), key=lambda one: (one.name, one.generation))

    def list(self, bucket: str, prefix: str, after: str, count: int) -> list[GoogleObject]:
        """The first `count` objects after a key, in the order of keys."""
        with self.lock:
            names = sorted(name for name in self.bucket(bucket) if name.startswith(prefix) and name > after)
            return [self.buckets[bucket][name] for name in names[:count]]

    # --- requests -----------------------------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Answer:
        """What Google would answer."""
        is_json = asked.path.startswith(("/storage/v1/", "/upload/", "/download/"))
        try:
            if asked.path == "/token":
                return self._grant(dict(parse_qsl(asked.body.decode())))
            if self.accounts:
                self._authorize(asked)
            return self._json(asked) if is_json else self._xml(asked)
        except GoogleError as error:
            return google_answers.as_json(error) if is_json else google_answers.as_xml(error)

    def _grant(self, form: Mapping[str, str]) -> Answer:
        """An access token for what an account has signed, or for the token of an identity that may act for it."""
        for account in self.accounts:
            if account.signed(form.get("assertion", ""), _TOKENS) or form.get("subject_token") == account.subject:
                body: dict[str, object] = {"access_token": account.token, "expires_in": 3600, "token_type": "Bearer"}
                body["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
                return Answer(HTTPStatus.OK, json.dumps(body).encode())
        return Answer(
            HTTPStatus.BAD_REQUEST, b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
        )

    def _authorize(self, asked: Asked) -> None:
        """An access token, or a token that the account has signed itself (obstore)."""
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        known = [one for one in self.accounts if one.token == token or one.signed(token, self.url)]
        if not known:
            raise google_answers.UNAUTHENTICATED if token else google_answers.ANONYMOUS
        if asked.method not in ("GET", "HEAD") and not known[0].may_write:
            raise google_answers.DENIED

    def _xml(self, asked: Asked) -> Answer:
        bucket, _, key = unquote(asked.path).lstrip("/").partition("/")
        query = asked.query.keys()
        match asked.method:
            case "GET" if not key and query <= {"list-type", "prefix", "start-after", "continuation-token", "max-keys"}:
                after = asked.query.get("continuation-token") or asked.query.get("start-after", "")
                count = min(int(asked.query.get("max-keys", self.page)), self.page)
                found = self.list(bucket, asked.query.get("prefix", ""), after, count + 1)
                return google_answers.listing(bucket, found[:count], is_last=len(found) <= count)
            case "GET" | "HEAD" if key and not query:
                return google_answers.media(self.find(bucket, key), asked.headers)
            case "PUT" if key and not query and "x-goog-copy-source" not in asked.headers:
                stored = self.put(bucket, key, asked.body, asked.headers.get("x-goog-if-generation-match"))
                return google_answers.stored(stored)
            case "DELETE" if key and not query:
                self.delete(bucket, key)
                return Answer(HTTPStatus.NO_CONTENT)
            case "POST" | "PUT" | "DELETE" if key and query & {"uploads", "uploadId"}:
                return self._upload_in_parts(asked, bucket, key)
        return self._refuse(asked)

    def _upload_in_parts(self, asked: Asked, bucket: str, key: str) -> Answer:
        self.bucket(bucket)
        if "uploads" in asked.query:
            name = secrets.token_hex(8)
            self._uploads[name] = {}
            return google_answers.upload(bucket, key, name)
        parts = self._uploads.get(asked.query["uploadId"])
        if parts is None:
            raise google_answers.NO_UPLOAD
        if asked.method == "PUT":
            parts[int(asked.query["partNumber"])] = asked.body
            return Answer(HTTPStatus.OK, headers={"ETag": f'"{hashlib.md5(asked.body).hexdigest()}"'})
        del self._uploads[asked.query["uploadId"]]
        if asked.method == "DELETE":
            return Answer(HTTPStatus.NO_CONTENT)
        data = b"".join(parts[number] for number in sorted(parts))
        return google_answers.completed(bucket, self.put(bucket, key, data, is_composed=True))

    def _json(self, asked: Asked) -> Answer:
        parts = [unquote(part) for part in asked.path.partition("/v1/b/")[2].split("/")]
        is_upload = asked.path.startswith("/upload/")
        match asked.method, parts:
            case "POST", [bucket, "o"] if is_upload and asked.query.get("uploadType") == "multipart":
                about, data = google_answers.read_related(asked.headers["content-type"], asked.body)
                stored = self.put(bucket, str(about["name"]), data, asked.query.get("ifGenerationMatch"))
                return google_answers.resource(bucket, stored)
            case "GET", [bucket, "o"]:
                return self._list_json(bucket, asked.query)
            case "GET", [bucket, "o", key] if asked.query.get("alt") == "media":
                return google_answers.media(self.find(bucket, key), asked.headers)
            case "GET", [bucket, "o", key]:
                return google_answers.resource(bucket, self.find(bucket, key))
            case "DELETE", [bucket, "o", key]:
                if "generation" in asked.query:
                    self.delete_generation(bucket, key, asked.query["generation"])
                else:
                    self.delete(bucket, key)
                return Answer(HTTPStatus.NO_CONTENT)
            case "GET", [bucket]:
                self.bucket(bucket)
                return Answer(HTTPStatus.OK, json.dumps({"kind": "storage#bucket", "name": bucket}).encode())
        return self._refuse(asked)

    def _list_json(self, bucket: str, query: Mapping[str, str]) -> Answer:
        """Objects, and with a delimiter the folders that hold the others."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        if query.get("versions", "").lower() == "true":
            return google_answers.listing_json(bucket, self.generations(bucket, prefix), [], None)
        if query.get("softDeleted", "").lower() == "true":
            if bucket not in self.soft:
                raise google_answers.NO_POLICY
            gone = [one for place, one in self._bin if place == bucket and one.name.startswith(prefix)]
            return google_answers.listing_json(bucket, gone, [], None, is_gone=True)
        count = min(int(query.get("maxResults", self.page)), self.page)
        found = self.list(bucket, prefix, query.get("pageToken", ""), len(self.bucket(bucket)))
        inside = {
            one.name: one.name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "") for one in found
        }
        page = found[:count]
        items = [one for one in page if not inside[one.name][1]]
        folders = sorted({f"{prefix}{inside[one.name][0]}{delimiter}" for one in page if inside[one.name][1]})
        token = page[-1].name if len(found) > count else None
        return google_answers.listing_json(bucket, items, folders, token)

    def _refuse(self, asked: Asked) -> Answer:
        self.unknown.append(f"{asked.method} {asked.path} {dict(asked.query)}")
        raise google_answers.UNKNOWN


@contextmanager
def serve(storage: GoogleStorage) -> Iterator[GoogleStorage]:
    """Listen on a free port of loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(storage)) as server:
        storage.url = f"http://127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield storage
        finally:
            server.shutdown()


def _handler(storage: GoogleStorage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            answer = storage.answer(Asked(self.command, parts.path, query, headers, body))
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Silent."""

    return Handler
