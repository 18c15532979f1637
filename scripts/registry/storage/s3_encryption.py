"""How S3 encrypts what is written: `sse` and its companions among a remote's options, as headers and for obstore."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING

from registry.errors import StorageFailed

if TYPE_CHECKING:
    from obstore.store import S3Config

KMS = "aws:kms"
_HEADER = "x-amz-server-side-encryption"
_SOURCE = "x-amz-copy-source-server-side-encryption"
_ALGORITHMS = ("AES256", KMS, "aws:kms:dsse")


@dataclass(frozen=True, slots=True)
class Encryption:
    """S3's own keys (`algorithm`), one of KMS, or the customer's (256 bits, in base64), which every request carries."""

    algorithm: str = ""
    kms_key: str = ""
    customer_key: str = field(default="", repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of a request that writes, in lower case."""
        if self.customer_key:
            return self._customer_headers(_HEADER)
        key = {f"{_HEADER}-aws-kms-key-id": self.kms_key} if self.kms_key else {}
        return {_HEADER: self.algorithm, **key} if self.algorithm else {}

    @property
    def source_headers(self) -> Mapping[str, str]:
        """The headers of a request that copies an object from here."""
        return self._customer_headers(_SOURCE) if self.customer_key else {}

    def _customer_headers(self, prefix: str) -> dict[str, str]:
        digest = md5(b64decode(self.customer_key), usedforsecurity=False).digest()
        return {
            f"{prefix}-customer-algorithm": "AES256",
            f"{prefix}-customer-key": self.customer_key,
            f"{prefix}-customer-key-md5": b64encode(digest).decode(),
        }

    def configure(self, config: "S3Config") -> None:
        """Tell obstore."""
        if self.customer_key:
            config["server_side_encryption"] = "sse-c"
            config["sse_customer_key_base64"] = self.customer_key
        elif self.algorithm:
            config["server_side_encryption"] = self.algorithm
            if self.kms_key:
                config["sse_kms_key_id"] = self.kms_key


def find_encryption(options: Mapping[str, str], remote: str) -> Encryption:
    """What a remote's options ask for. Raises StorageFailed for what S3 does not offer."""
    kms_key, customer_key = options.get("sse_kms_key_id", ""), options.get("sse_customer_key", "")
    algorithm = options.get("sse", KMS if kms_key else "")
    if customer_key and (kms_key or algorithm):
        raise _invalid(remote, "sse_customer_key", "cannot be combined with sse and sse_kms_key_id")
    if customer_key and not _is_key(customer_key):
        raise _invalid(remote, "sse_customer_key", "is not a key of 32 bytes in base64")
    if options.get("sse_customer_algorithm", "AES256") != "AES256":
        raise _invalid(remote, "sse_customer_algorithm", "must be AES256")
    if algorithm and algorithm not in _ALGORITHMS:
        raise _invalid(remote, "sse", f"must be one of {', '.join(_ALGORITHMS)}")
    if kms_key and not algorithm.startswith(KMS):
        raise _invalid(remote, "sse_kms_key_id", f"needs sse to be {KMS}")
    return Encryption(algorithm, kms_key, customer_key)


def _is_key(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == 32
    except ValueError:
        return False


def _invalid(remote: str, option: str, fault: str) -> StorageFailed:
    return StorageFailed(f"remote {remote}: {option} {fault}", fix="correct the options of this remote")
