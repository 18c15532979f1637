"""What the errors of object stores mean, and the next step; their own text may hold signatures and is never shown.

Codes: AWS, "Amazon S3 error responses"; Ceph (QuotaExceeded), MinIO (XMinio…) and Azure (ContainerNotFound) add theirs.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

from registry.core.settings import LAKE, Remote

CONTINUES = "run the same command again: it continues where it stopped"


class Access(StrEnum):
    """What was refused."""

    READ = "reading"
    LIST = "listing"
    WRITE = "writing"
    DELETE = "deleting"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the next step, in which `{remote}` stands for the name of the remote.

    `{own}` is the remote that concerns this bucket alone: the lake, too, may have the options of staging.
    """

    message: str
    fix: str

    def for_remote(self, remote: Remote) -> "Fault":
        """The same with the remote's name in the next step, or with a word for it where it has none."""
        own = LAKE if remote.is_lake else remote.name
        name = remote.name or own or "REMOTE"
        url_fix = "lake: in registry.yaml has its URL" if remote.is_lake else _CORRECT_URL
        fix = self.fix.replace(_CORRECT_URL, url_fix).replace("{remote}", name).replace("{own}", own or name)
        if own == LAKE != remote.name:  # from then on it has none of the options of staging
            endpoint = remote.options.get("endpointurl")
            added = f"dvc remote add {LAKE} {remote.url} && "
            added += f"dvc remote modify {LAKE} endpointurl {endpoint} && " if endpoint else ""
            fix = re.sub(rf"(dvc remote modify (?:--local )?{LAKE} )", rf"{added}\1", fix)
        return replace(self, fix=fix)


class Details(NamedTuple):
    """What a response says besides its status: its code, the right region, and whether a KMS key was refused."""

    code: str = ""
    region: str = ""
    is_kms: bool = False
    is_lock: bool = False


NOTHING = Details()
_CORRECT_URL = "`dvc remote modify {remote} url URL` corrects it"
_CODE, _REGION = re.compile(r"<Code>([\w.]+)</Code>"), re.compile(r"<Region>([a-z0-9-]+)</Region>")
_LOCK = re.compile(r"object.?lock|WORM|retention", re.IGNORECASE)

DENIED = Fault(
    "access denied",
    "check that this login may do that there; `dvc remote modify --local {own} profile NAME` names another",
)
UNREACHABLE = Fault(
    "the server could not be reached", "check the address and the network, then run the same command again"
)
NO_HOST = Fault(
    "its host name is unknown to this machine's DNS",
    "check the endpoint of {remote}, and the network (a VPN?), then run the same command again",
)
REFUSED = Fault(
    "the connection was refused: no server listens at that port",
    "check the port in the endpoint of {remote}, that the server runs, and any proxy; then run the same command again",
)
NO_TLS = Fault(
    "the server does not use TLS at this port", "check the endpoint of {remote}: without TLS it begins with http://"
)
TIMEOUT = Fault("the connection timed out", f"check the network, then {CONTINUES}")
BROKEN = Fault("the connection broke before the response was complete", f"check the network, then {CONTINUES}")
NOT_A_STORE = Fault(
    "the server does not answer as an object store does: it may be a web site, a login page or a proxy",
    "check that `dvc remote modify {remote} endpointurl URL` names the S3 endpoint, and log in to the network",
)
NO_BUCKET = Fault("the bucket does not exist", f"check the endpoint, and the bucket's name: {_CORRECT_URL}")
WRONG_REGION = Fault("the bucket is in another region", "dvc remote modify {own} region REGION")
BAD_REQUEST = Fault(
    "the server rejected the request (400)", "check the region of {remote}, and that your credentials are valid"
)
_EXPIRED = Fault("the credentials have expired", f"log in again, then {CONTINUES}")
_UNKNOWN_KEY = Fault(
    "the server does not know this access key",
    "check the endpoint, and log in; `dvc remote modify --local {remote} profile NAME` names another login",
)
_WRONG_SECRET = Fault(
    "the signature does not match: the secret key is not that of this access key",
    "log in again, or correct the secret key; `dvc remote modify --local {remote} profile NAME` names another login",
)
_SLOW = Fault("the server limits the rate of requests", f"wait, then {CONTINUES}")
_FULL = Fault("the storage is full or its quota is used up", f"get more space there, then {CONTINUES}")
_UNSUPPORTED = Fault(
    "the server does not support this operation", "check that the endpoint of {remote} is that of an S3 service"
)
_KMS = Fault(
    "its KMS key cannot be used: it is disabled, deleted, or not permitted to you",
    "ask the owner of the key to enable it and to permit you kms:Decrypt and kms:GenerateDataKey",
)
_ARCHIVED = Fault(
    "the object is archived and cannot be read",
    "ask an administrator to restore it (aws s3api restore-object) and to end the lifecycle rule that archives",
)
_LOCKED = Fault(
    "Object Lock refuses this", "check the retention of that bucket: objects there can be added, not changed"
)
_CHANGED = Fault(
    "the bytes were changed on their way", "check what is between this machine and the server, then try again"
)
_CLOCK = Fault("this machine's clock is wrong", "set the clock, then run the same command again")
_BY_CODE: tuple[tuple[Fault, str], ...] = (
    (_EXPIRED, "ExpiredToken TokenRefreshRequired ExpiredTokenException RequestExpired"),
    (_UNKNOWN_KEY, "InvalidAccessKeyId InvalidClientTokenId UnrecognizedClientException InvalidToken"),
    (_WRONG_SECRET, "SignatureDoesNotMatch AuthenticationFailed"),
    (_CLOCK, "RequestTimeTooSkewed"),
    (DENIED, "AccessDenied AllAccessDisabled AccountProblem AuthorizationFailure AuthorizationPermissionMismatch"),
    (NO_BUCKET, "NoSuchBucket ContainerNotFound InvalidBucketName"),
    (WRONG_REGION, "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException"),
    (_SLOW, "SlowDown ServiceUnavailable Throttling ThrottlingException TooManyRequests ServerBusy"),
    (_FULL, "QuotaExceeded InsufficientStorage XMinioStorageFull XMinioAdminBucketQuotaExceeded InsufficientCapacity"),
    (_UNSUPPORTED, "NotImplemented MethodNotAllowed"),
    (_ARCHIVED, "InvalidObjectState BlobArchived"),
    (_LOCKED, "ObjectLocked InvalidRetentionPeriod BlobImmutableDueToPolicy"),
    (_CHANGED, "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch"),
    (TIMEOUT, "RequestTimeout"),
)
NO_BUCKET_CODES = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}
FAULTS = {code: fault for fault, codes in _BY_CODE for code in codes.split()}
_BY_STATUS = {
    HTTPStatus.BAD_REQUEST: BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED: DENIED,
    HTTPStatus.FORBIDDEN: DENIED,
    HTTPStatus.NOT_FOUND: NO_BUCKET,
    HTTPStatus.METHOD_NOT_ALLOWED: _UNSUPPORTED,
    HTTPStatus.TOO_MANY_REQUESTS: _SLOW,
    HTTPStatus.NOT_IMPLEMENTED: _UNSUPPORTED,
    HTTPStatus.SERVICE_UNAVAILABLE: _SLOW,
    HTTPStatus.INSUFFICIENT_STORAGE: _FULL,
}


def read_details(body: str) -> Details:
    """What the body of an S3 response says; empty where it is none."""
    code, region = _CODE.search(body), _REGION.search(body)
    return Details(
        code[1] if code else "",
        region[1] if region else "",
        is_kms=bool(code and (code[1].startswith("KMS.") or "kms:" in body)),
        is_lock=bool(code and _LOCK.search(body)),
    )


def find_fault(status: int, details: Details) -> Fault:
    """What an error response means."""
    if details.is_kms:
        return _KMS
    if details.is_lock and details.code in {"AccessDenied", "InvalidRequest"}:
        return _LOCKED
    fault = FAULTS.get(details.code) or (None if details.code else _BY_STATUS.get(HTTPStatus(status)))
    if fault is WRONG_REGION and details.region:
        return in_region(details.region)
    if fault:
        return fault
    said = f"{status} {details.code}".rstrip()
    return Fault(f"the server responded with {said}", "try again; if it persists, ask the server's administrator")


def in_region(region: str) -> Fault:
    """The bucket is there."""
    return Fault(f"the bucket is in the region {region}", f"dvc remote modify {{own}} region {region}")


def untrusted_certificate(reason: str) -> Fault:
    """What is wrong with a server's certificate, in OpenSSL's or rustls's words."""
    return Fault(
        f"the server's certificate is not trusted: {reason}",
        "check the endpoint's host name, and name the file of your organization's CA certificate: "
        "dvc remote modify --local {remote} ssl_verify /PATH/ca.pem",
    )


def is_page(body: str) -> bool:
    """Whether the body of a response is a web page, JSON or prose, and not S3's XML."""
    text = body.lstrip().removeprefix("\ufeff")
    return bool(text) and "<Error>" not in text and "<Code>" not in text
