"""Answers of servers that are no object: each is said for what it is, with a next step, through every request."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from botocore.client import BaseClient

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.errors import StorageFailed
from registry.storage import cloud_config, retry
from registry.storage.cloud_config import open_bucket
from support.repositories import md5
from support.s3_places import OLD, Places
from support.servers.fault_proxy import Answer, Deed, Fault, FaultProxy, Page, always, only

pytestmark = pytest.mark.s3

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
REGION = b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message><Region>eu-west-1</Region></Error>"
KMS = b"<Error><Code>AccessDenied</Code><Message>not authorized to perform: kms:Decrypt</Message></Error>"
LOCKED = b"<Error><Code>AccessDenied</Code><Message>object protected by object lock</Message></Error>"
MOVED = b"<Error><Code>PermanentRedirect</Code><Message>use another endpoint</Message></Error>"
NO_STORE = "does not answer as an object store"

ANSWERS: dict[str, tuple[Deed, str]] = {
    "web page": (Page(200, HTML, {"Content-Type": "text/html"}), NO_STORE),
    "page of a proxy": (Page(403, HTML, {"Content-Type": "text/html"}), NO_STORE),
    "page not found": (Page(404, HTML, {"Content-Type": "text/html"}), NO_STORE),
    "JSON": (Page(200, b'{"status": "ok"}', {}), NO_STORE),
    "plain text": (Page(404, b"404 page not found", {}), NO_STORE),
    "login page": (Page(302, b"", {"Location": "/login"}), NO_STORE),
    "another region": (Page(301, MOVED, {"x-amz-bucket-region": "eu-west-1"}), "the bucket is in the region eu-west-1"),
    "signed for another region": (Page(400, REGION, {}), "the bucket is in the region eu-west-1"),
    "no bucket": (Answer(404, "NoSuchBucket", "no"), "the bucket does not exist"),
    "unknown key": (Answer(403, "InvalidAccessKeyId", "AKIAHUSH"), "the server does not know this access key"),
    "wrong secret": (Answer(403, "SignatureDoesNotMatch", "AKIAHUSH"), "the signature does not match"),
    "expired": (Answer(400, "ExpiredToken", "AKIAHUSH"), "the credentials have expired"),
    "clock": (Answer(403, "RequestTimeTooSkewed", "AKIAHUSH"), "this machine's clock is wrong"),
    "denied": (Answer(403, "AccessDenied", "AKIAHUSH"), "access denied ("),
    "KMS disabled": (Answer(400, "KMS.DisabledException", "no"), "its KMS key cannot be used"),
    "KMS denied": (Page(403, KMS, {}), "its KMS key cannot be used"),
    "archived": (Answer(403, "InvalidObjectState", "no"), "the object is archived"),
    "quota": (Answer(403, "QuotaExceeded", "no"), "the storage is full"),
    "no space": (Answer(507, "XMinioStorageFull", "no"), "the storage is full"),
    "slow down": (Answer(503, "SlowDown", "no"), "the server limits the rate"),
    "locked": (Page(403, LOCKED, {}), "Object Lock refuses this"),
    "not supported": (Answer(501, "NotImplemented", "no"), "the server does not support this operation"),
    "no such method": (Answer(405, "MethodNotAllowed", "no"), "the server does not support this operation"),
    "unknown error": (Answer(418, "Teapot", "no"), "the server responded with 418 Teapot"),
}
KEY = object_key(md5(OLD))


def copy(places: Places) -> object:
    copier = places.production.copier_from(places.staging)
    assert copier
    return copier.copy(KEY, "new", md5(OLD))


REQUESTS: dict[str, Callable[[Places], object]] = {
    "head": lambda places: places.staging.find(KEY),
    "get": lambda places: places.staging.get(KEY),
    "list": lambda places: places.staging.list(),
    "find many": lambda places: places.staging.find_many([KEY]),
    "put": lambda places: places.staging.put("new", b"new"),
    "replace": lambda places: places.staging.replace(KEY, lambda: iter([OLD])),
    "copy": copy,
    "require": lambda places: places.staging.require_readable(),
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few attempts, each at once."""
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.0)
    monkeypatch.setitem(cloud_config.RETRIES, "max_retries", 1)
    monkeypatch.setitem(cloud_config.RETRIES, "retry_timeout", timedelta(seconds=1))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_said_for_what_it_is(proxy: FaultProxy, client: BaseClient, folder: str, answer: str) -> None:
    deed, words = ANSWERS[answer]
    proxy.add(Fault(deed, always, times=None))
    wrong = []
    for name, request in REQUESTS.items():
        with pytest.raises(StorageFailed) as caught:
            request(Places(folder))
        said = str(caught.value)
        is_right = words in said and said.startswith("s3://") and caught.value.fix and "AKIA" not in said
        wrong += [] if is_right and "{" not in said else [f"{name}: {said}"]
    assert wrong == []


@pytest.mark.usefixtures("hasty", "client")
@pytest.mark.parametrize("answer", ["expired", "clock", "unknown key", "wrong secret", "denied"])
def test_a_login_that_ends_after_a_place_has_answered_is_said(proxy: FaultProxy, folder: str, answer: str) -> None:
    deed, words = ANSWERS[answer]
    staging = Places(folder).staging
    assert staging.put(KEY, OLD)
    assert staging.has(KEY)
    proxy.add(Fault(deed, always, times=None))
    for _ in range(2):
        with pytest.raises(StorageFailed, match=re.escape(words)):
            staging.find(KEY)


@pytest.mark.usefixtures("client")
def test_why_objects_are_denied_is_asked_once(proxy: FaultProxy, folder: str) -> None:
    """By a login that may list: the listing that tells why is asked for once, and answers for every other object."""
    staging = Places(folder).staging
    assert staging.put(KEY, OLD)
    assert staging.has(KEY)
    proxy.add(Fault(ANSWERS["denied"][0], only("head"), times=None))
    before = proxy.counts()
    for _ in range(3):
        with pytest.raises(StorageFailed, match=r"access denied \(reading"):
            staging.find(KEY)
    assert proxy.counts() - before == {"head": 3, "list": 1}


def test_who_was_denied_what_is_said(proxy: FaultProxy, folder: str) -> None:
    proxy.add(Fault(ANSWERS["denied"][0], always, times=None))
    name = partial(Remote, f"s3://staging/{folder}", name="staging")
    own = open_bucket(name({}))
    with pytest.raises(StorageFailed, match=r"/a: access denied \(writing, as access key …\w{4}\)\n  hint: check"):
        own.put("a", b"")
    with pytest.raises(StorageFailed, match=r"\(listing, .*\n.*`dvc remote modify --local staging profile NAME`"):
        own.find("a")
    with pytest.raises(StorageFailed, match="as anonymous"):
        open_bucket(name({"allow_anonymous_login": "true"})).put("a", b"")


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("count", [2, 2000])
def test_a_missing_bucket_is_no_missing_object(count: int) -> None:
    nowhere = open_bucket(Remote(f"s3://no-such-bucket-{count}", {}, "staging"))
    for ask in (nowhere.find, nowhere.get, nowhere.has, nowhere.head):
        with pytest.raises(StorageFailed, match="the bucket does not exist"):
            ask("files/md5/00/0")
    with pytest.raises(StorageFailed, match="the bucket does not exist"):
        nowhere.find_many([f"files/md5/00/{number}" for number in range(count)])
