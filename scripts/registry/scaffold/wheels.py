"""The wheel of a release of the tooling, which a copy can install instead of the commit: its URL and its SHA-256."""

import hashlib
import json
import re
import urllib.request
import zipfile
from dataclasses import replace
from io import BytesIO
from urllib.error import URLError

from registry.core.settings import Template
from registry.errors import NotFound, Refused
from registry.scaffold import tooling

_PLACE = re.compile(r"(?P<url>(?:https|file)://[^\s#]+\.whl)(?:#sha256=(?P<digest>[0-9a-f]{64}))?")
_PATIENCE = 60  # seconds without a byte


def pin(template: Template, place: str) -> Template:
    """`template` with the wheel at the URL `place`, which may end in `#sha256=…` and has to be of that commit.

    Raises Refused for another file, NotFound where there is none.
    """
    found = _PLACE.fullmatch(place)
    if not found:
        fix = "name a URL as the release has it: --wheel https://…/registry_as_code-1.0.0-py3-none-any.whl"
        raise Refused(f"{place} is not the URL of a wheel", fix=fix)
    data = _fetch(found["url"])
    digest = hashlib.sha256(data).hexdigest()
    if found["digest"] not in {None, digest}:
        fix = "compare it with the notes of the release, and do not install it"
        raise Refused(f"{found['url']}: SHA-256 is {digest}, expected {found['digest']}", fix=fix)
    if (commit := _commit_of(data)) != template.commit:
        fix = f"name the wheel of the release {template.version}, or leave --wheel out: the commit is installed then"
        told = f"was made of the commit {commit[:12]}" if commit else "does not say of which commit it was made"
        raise Refused(f"{found['url']} {told}, expected {template.commit[:12]}", fix=fix)
    return replace(template, wheel=f"{found['url']}#sha256={digest}")


def follow(old: Template, new: Template) -> Template:
    """`new` with its wheel, if `old` has one: beside that, with the other version in its URL. Raises as `pin`."""
    if not old.wheel:
        return new
    url = old.wheel.partition("#")[0]
    if old.version not in url:
        raise Refused(f"the wheel of {new.version} is not known: {url} has no version", fix="name it: --wheel URL")
    return pin(new, url.replace(old.version, new.version))


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as response:  # noqa: S310 - https or file
            data: bytes = response.read()
            return data
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise NotFound(f"{url}: {reason}", fix="name the wheel where it can be downloaded: --wheel URL") from error


def _commit_of(data: bytes) -> str:
    """The commit that a wheel was made of; empty where it does not say."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return str(json.loads(archive.read(f"registry/{tooling.ORIGIN}"))["commit"])
    except (zipfile.BadZipFile, KeyError, ValueError):
        return ""
