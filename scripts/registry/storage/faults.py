"""What the errors of object stores mean, and the next step; their own text may hold signatures and is never shown.

Codes: AWS, "Amazon S3 error responses"; Ceph (QuotaExceeded) and MinIO (XMinio…) add theirs; Google, "XML API: HTTP
status and error codes"; Microsoft, "Blob Storage error codes".
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

from registry.core.settings import LAKE, Remote
from registry.errors import LoginEnded, StorageFailed
from registry.storage.remote_options import scheme_of

CONTINUES = "run the same command again: it continues where it stopped"


class Access(StrEnum):
    """What was refused."""

    READ = "reading"
    LIST = "listing"
    WRITE = "writing"
    DELETE = "deleting"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the next step; `is_login`: the login does not hold, which says nothing of the data.

    In both, `{remote}` stands for the name of the remote, and other words in braces for what a scheme has for them.
    `{own}` is the remote that concerns this bucket alone: the lake, too, may have the options of staging.
    """

    message: str
    fix: str
    is_login: bool = False

    def for_remote(self, remote: Remote) -> "Fault":
        """The same in the words of its scheme, with the remote's name, or with a word for it where it has none."""
        words = _WORDS.get(scheme_of(remote.url) or "s3", _WORDS["http"])
        message, fix = self.message, self.fix
        for word, value in words.items():
            message, fix = message.replace(f"{{{word}}}", value), fix.replace(f"{{{word}}}", value)
        own = LAKE if remote.is_lake else remote.name
        name = remote.name or own or "REMOTE"
        url_fix = "lake: in registry.yaml has its URL" if remote.is_lake else _CORRECT_URL
        message = message.replace("{remote}", name)
        fix = fix.replace(_CORRECT_URL, url_fix).replace("{remote}", name).replace("{own}", own or name)
        if own == LAKE != remote.name:  # from then on it has none of the options of staging
            endpoint = remote.options.get("endpointurl")
            added = f"dvc remote add {LAKE} {remote.url} && "
            added += f"dvc remote modify {LAKE} endpointurl {endpoint} && " if endpoint else ""
            fix = re.sub(rf"(dvc remote modify (?:--local )?{LAKE} )", rf"{added}\1", fix)
        return replace(self, message=message, fix=fix)


# What each kind of store has for the words in braces. Options are those that DVC accepts for a remote of that scheme.
_WORDS = {
    "s3": {
        "login": "`dvc remote modify --local {own} profile NAME` names another login",
        "endpoint": "`dvc remote modify {remote} endpointurl URL` names the S3 endpoint",
        "place": "the endpoint",
        "address": "the address",
        "bucket": "bucket",
        "region": "the region of {remote}",
        "service": "an S3 service",
        "restore": "aws s3api restore-object",
        "lock": "Object Lock",
        "key": "and to permit you kms:Decrypt and kms:GenerateDataKey",
    },
    "gs": {
        "login": "`dvc remote modify --local {own} credentialpath FILE` names another login",
        "endpoint": "`dvc remote modify {remote} endpointurl URL` names Google's endpoint",
        "place": "the endpoint",
        "address": "the address",
        "bucket": "bucket",
        "region": "the options of {remote}",
        "service": "Google Cloud Storage",
        "restore": "gcloud storage objects update --storage-class=STANDARD",
        "lock": "a retention policy or a hold",
        "key": "and to grant the bucket's service agent its use",
    },
    "azure": {
        "login": "`dvc remote modify --local {own} connection_string TEXT` names another login",
        "endpoint": "the BlobEndpoint of the connection_string is that of Azure",
        "place": "the account's name",
        "address": "the account's name",
        "bucket": "container",
        "region": "the options of {remote}",
        "service": "Azure Blob Storage",
        "restore": "az storage blob set-tier --tier Hot",
        "lock": "an immutability policy",
        "key": "and to grant the account's identity its use",
    },
    "http": {
        "login": "`dvc remote modify --local {own} user NAME` names another login",
        "endpoint": "`dvc remote modify {remote} url URL` names the folder with the objects",
        "place": "the address",
        "address": "the address",
        "bucket": "server",
        "region": "the options of {remote}",
        "service": "a web server with the objects",
        "restore": "with the tools of its storage",
        "lock": "a lock",
        "key": "and to permit you its use",
    },
}


class Details(NamedTuple):
    """What a response says besides its status: its code, the right region, and whether a KMS key was refused.

    `is_expired`: its words are those of a login that was valid.
    """

    code: str = ""
    region: str = ""
    is_kms: bool = False
    is_lock: bool = False
    is_expired: bool = False


NOTHING = Details()
_CORRECT_URL = "`dvc remote modify {remote} url URL` corrects it"
_CODE, _REGION = re.compile(r"<Code>([\w.]+)</Code>"), re.compile(r"<Region>([a-z0-9-]+)</Region>")
# Also what servers other than AWS's say with AccessDenied, and Azure of a SAS and of a token.
_ENDED = re.compile(
    r"<(?:Message|AuthenticationErrorDetail|Details)>[^<]*(?:has expired|is expired|expired token|token expired"
    r"|not valid in the specified time frame|Lifetime validation failed)",
    re.IGNORECASE,
)
_LOCK = re.compile(r"object.?lock|WORM|retention", re.IGNORECASE)

DENIED = Fault(
    "access denied",
    "check that this login may do that there; {login}",
)
NO_LOGIN = Fault("no valid credentials", "log in to that cloud, or set its environment variables; {login}")
_NOT_ACCEPTED = Fault(
    "no valid credentials: the login of the remote {remote} has expired, or is none",
    f"log in again, then {CONTINUES}; {{login}}",
    is_login=True,
)
BAD_FILE = Fault(
    "the file of Google's credentials cannot be read",
    "name the JSON file of a service account: `dvc remote modify --local {own} credentialpath FILE`",
)
UNREACHABLE = Fault(
    "the server could not be reached", "check {address} and the network, then run the same command again"
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
    "check that {endpoint}, and log in to the network",
)
NO_BUCKET = Fault("the {bucket} does not exist", f"check {{place}}, and the {{bucket}}'s name: {_CORRECT_URL}")
WRONG_REGION = Fault("the bucket is in another region", "dvc remote modify {own} region REGION")
BAD_REQUEST = Fault("the server rejected the request (400)", "check {region}, and that your credentials are valid")
EXPIRED = Fault(
    "the credentials have expired: the login of the remote {remote} has ended",
    f"log in again, then {CONTINUES}",
    is_login=True,
)
_UNKNOWN_KEY = Fault(
    "the server does not know this access key (any more): that of the remote {remote}",
    f"check the endpoint, and log in, then {CONTINUES}; {{login}}",
    is_login=True,
)
_WRONG_SECRET = Fault(
    "the signature does not match: the secret key is not that of this access key",
    "log in again, or correct the secret key; {login}",
)
_SLOW = Fault("the server limits the rate of requests", f"wait, then {CONTINUES}")
_FULL = Fault("the storage is full or its quota is used up", f"get more space there, then {CONTINUES}")
_UNSUPPORTED = Fault(
    "the server does not support this operation", "check that the endpoint of {remote} is that of {service}"
)
_KMS = Fault(
    "its KMS key cannot be used: it is disabled, deleted, or not permitted to you",
    "ask the owner of the key to enable it {key}",
)
_ARCHIVED = Fault(
    "the object is archived and cannot be read",
    "ask an administrator to restore it ({restore}) and to end the lifecycle rule that archives",
)
_LOCKED = Fault("{lock} refuses this", "check the retention of that bucket: objects there can be added, not changed")
_CHANGED = Fault(
    "the bytes were changed on their way", "check what is between this machine and the server, then try again"
)
_NO_PAYER = Fault(
    "the account or project that pays is missing, disabled or without billing",
    "ask its owner to enable it and its billing",
)
_CLOCK = Fault("this machine's clock is wrong", f"set the clock, then {CONTINUES}", is_login=True)
_BY_CODE: tuple[tuple[Fault, str], ...] = (
    (EXPIRED, "ExpiredToken TokenRefreshRequired ExpiredTokenException RequestExpired"),
    (_UNKNOWN_KEY, "InvalidAccessKeyId InvalidClientTokenId UnrecognizedClientException InvalidToken"),
    (_WRONG_SECRET, "SignatureDoesNotMatch AuthenticationFailed"),
    (_CLOCK, "RequestTimeTooSkewed"),
    (_NOT_ACCEPTED, "AuthenticationRequired InvalidAuthenticationInfo"),
    (NO_LOGIN, "NoAuthenticationInformation MissingSecurityHeader"),
    (_NO_PAYER, "UserProjectAccountProblem UserProjectMissing AccountIsDisabled AccountDisabled BillingDisabled"),
    (
        DENIED,
        "AuthorizationSourceIPMismatch PublicAccessNotPermitted UnauthorizedBlobOverwrite UserProjectAccessDenied",
    ),
    (DENIED, "AuthorizationServiceMismatch AuthorizationResourceTypeMismatch AuthorizationProtocolMismatch"),
    (DENIED, "AccessDenied AllAccessDisabled AccountProblem AuthorizationFailure AuthorizationPermissionMismatch"),
    (NO_BUCKET, "NoSuchBucket ContainerNotFound InvalidBucketName ResourceNotFound InvalidResourceName InvalidUri"),
    (NO_BUCKET, "ContainerBeingDeleted ContainerDisabled"),
    (WRONG_REGION, "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException"),
    (_SLOW, "SlowDown ServiceUnavailable Throttling ThrottlingException TooManyRequests ServerBusy"),
    (_FULL, "QuotaExceeded InsufficientStorage XMinioStorageFull XMinioAdminBucketQuotaExceeded InsufficientCapacity"),
    (_UNSUPPORTED, "NotImplemented MethodNotAllowed"),
    (_ARCHIVED, "InvalidObjectState BlobArchived"),
    (
        _LOCKED,
        "ObjectLocked InvalidRetentionPeriod BlobImmutableDueToPolicy RetentionPolicyNotMet ObjectUnderActiveHold",
    ),
    (_CHANGED, "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch"),
    (TIMEOUT, "RequestTimeout"),
)
NO_BUCKET_CODES = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "ResourceNotFound"}
FAULTS = {code: fault for fault, codes in _BY_CODE for code in codes.split()}
_BY_STATUS: dict[int, Fault] = {  # proxies have statuses of their own, such as 520
    HTTPStatus.BAD_REQUEST: BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED: _NOT_ACCEPTED,
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
        is_expired=bool(_ENDED.search(body)),
    )


def find_fault(status: int, details: Details) -> Fault:
    """What an error response means."""
    if details.is_kms:
        return _KMS
    if details.is_lock and details.code in {"AccessDenied", "InvalidRequest"}:
        return _LOCKED
    if details.is_expired:
        return EXPIRED
    fault = FAULTS.get(details.code) or (None if details.code else _BY_STATUS.get(status))
    if fault is WRONG_REGION and details.region:
        return in_region(details.region)
    if fault:
        return fault
    said = f"{status} {details.code}".rstrip()
    return Fault(f"the server responded with {said}", "try again; if it persists, ask the server's administrator")


def failed(place: str, fault: Fault) -> StorageFailed:
    """The error that a fault of `place`, a store or an object, is."""
    if not fault.is_login:
        return StorageFailed(f"{place}: {fault.message}", fix=fault.fix)
    unfinished = "the command did not finish, and found nothing wrong in the data"
    return LoginEnded(f"{place}: {fault.message}; {unfinished}", fix=fault.fix)


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
