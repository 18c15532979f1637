"""What `endpointurl` may be; what is not is said, and never a panic of obstore's Rust."""

from pathlib import Path

import pytest

from registry.core.settings import Remote
from registry.errors import StorageFailed
from registry.storage.cloud_errors import translate_errors
from registry.storage.endpoints import require_endpoint
from registry.storage.open import open_store


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("127.0.0.1:7480", "does not start with https:// or http://"), ("s3.acme.example", "does not start with"),
        ("s3://acme", "does not start with"), ("//acme", "does not start with"), ("https://", "is not a valid URL"),
        ("https://acme:port", "is not a valid URL"), ("https://acme:99999", "is not a valid URL"),
        ("http://[::1", "is not a valid URL"), ("https://ac me", "is not a valid URL"), ("http://a:0", "is not"),
        ("https://acme/bucket", "has a path"), ("https://acme?x=1", "has a path"), ("https://acme/#", "has a path"),
        ("https://ana:hush@acme", "contains credentials"), ("https://ana@acme", "contains credentials"),
        ("http:///x", "is not a valid URL"), ("ftp://ana:hush@acme", "does not start with"),
    ],
)  # fmt: skip
def test_endpoints_that_are_none(tmp_path: Path, url: str, fault: str) -> None:
    with pytest.raises(StorageFailed, match=f"^remote staging: endpoint .* {fault}") as caught:
        open_store(Remote("s3://bucket", {"endpointurl": url}, "staging"), tmp_path)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:7480", "https://s3.acme.example/", "http://[::1]:8333", "HTTPS://A"])
def test_endpoints(tmp_path: Path, url: str) -> None:
    assert require_endpoint(url) == url.rstrip("/")
    assert open_store(Remote("s3://bucket/a", {"endpointurl": url}), tmp_path).url == "s3://bucket/a"


def test_a_panic_of_rust_is_a_failure_of_the_store() -> None:
    class PanicException(BaseException):
        """Not importable: pyo3 makes it at run time, and it derives from BaseException."""

    with pytest.raises(StorageFailed, match=r"^s3://x: obstore failed: InvalidUri"), translate_errors("s3://x"):
        raise PanicException("InvalidUri")
    with pytest.raises(KeyboardInterrupt), translate_errors("s3://x"):
        raise KeyboardInterrupt
