"""Signatures are those of botocore."""

import re
from datetime import UTC, datetime

import pytest
from botocore.credentials import ReadOnlyCredentials

from registry.storage import s3_credentials, s3_signing


@pytest.mark.parametrize("token", [None, "a/token+of=STS"])
def test_requests_are_signed_as_botocore_signs_them(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore import auth
    from botocore.awsrequest import AWSRequest

    now, keys = datetime(2026, 1, 31, 12, 34, 56, tzinfo=UTC), s3_credentials.Keys("AKIA", "hush", token)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now.replace(tzinfo=None))
    place = s3_signing.S3Location(
        "bucket", "a b/ü", "https://s3.example.com:9000", "eu-central-1", s3_credentials.Login()
    )
    headers = {"x-amz-copy-source": "/lake/a%20b.jpg", "if-none-match": "*"}
    request = AWSRequest("PUT", place.address + place.path("k+y~.jpg"), headers)
    auth.S3SigV4Auth(ReadOnlyCredentials(*keys), "s3", place.region).add_auth(request)
    theirs = dict(re.findall(r"(Credential|Signature)=([^,]+)", request.headers["Authorization"]))
    ours = s3_signing.sign_put(keys, place, "k+y~.jpg", headers, now)
    found = dict(re.findall(r"(Credential|Signature)=([^,]+)", ours["authorization"]))
    assert (found, ours["x-amz-date"]) == (theirs, request.headers["X-Amz-Date"])
