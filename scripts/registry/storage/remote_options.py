"""Which options of a DVC remote are honoured here, and what becomes of the others; and which places can be opened.

The table has every option of DVC's schema (dvc.config_schema, 3.67) for the schemes that have a store here; a contract
test compares the two, so that an upgrade of DVC shows its new options.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.util import find_spec
from typing import NamedTuple

from registry.core.committed_config import SECRETS
from registry.core.settings import Remote
from registry.errors import StorageFailed


class Handling(StrEnum):
    """What becomes of an option that a remote sets."""

    HONOURED = "honoured"
    WITHOUT_EFFECT = "without effect"  # it tunes DVC's own transfers, or asks for less than is always done here
    IGNORED = "ignored"  # named wherever the remote is opened
    REFUSED = "refused"  # the remote cannot be used with it


@dataclass(frozen=True, slots=True)
class Option:
    """An option's handling, and the reason where it is not honoured."""

    handling: Handling
    reason: str = ""


_HONOURED = Option(Handling.HONOURED)


def _without_effect(reason: str) -> Option:
    return Option(Handling.WITHOUT_EFFECT, reason)


def _ignored(reason: str) -> Option:
    return Option(Handling.IGNORED, reason)


_COMMON = {
    "url": _HONOURED,
    "jobs": _without_effect("tunes DVC's own transfers"),
    "checksum_jobs": _without_effect("tunes DVC's own hashing"),
    "no_traverse": _without_effect("obsolete in DVC"),
    "verify": _without_effect("every object that is fetched is verified"),
    "worktree": Option(Handling.REFUSED, "it stores files by name, and a released version would change with them"),
    "version_aware": Option(Handling.REFUSED, "it rewrites pointers at each push"),
}
_TLS = {"ssl_verify": _HONOURED, "connect_timeout": _HONOURED, "read_timeout": _HONOURED}
_OWNERSHIP = _ignored(
    "objects are written with the bucket's default access; set its object ownership to BucketOwnerEnforced, or "
    "give readers access in its policy"
)
_CREDENTIAL_CHAIN = _ignored("the chain of Azure credentials is obstore's; give the credentials of one method")
_FOLDER = {
    "type": _without_effect("concerns DVC's links"),
    "protected": _without_effect("obsolete in DVC"),
    "shared": _ignored("folders and files get this user's permissions; set the folder's default ACL"),
    "slow_link_warning": _without_effect("concerns DVC's messages"),
}
_S3 = {
    **dict.fromkeys(("region", "profile", "credentialpath", "configpath", "endpointurl"), _HONOURED),
    **dict.fromkeys(("access_key_id", "secret_access_key", "session_token", "allow_anonymous_login"), _HONOURED),
    **dict.fromkeys(("sse", "sse_kms_key_id", "sse_customer_algorithm", "sse_customer_key", "use_ssl"), _HONOURED),
    **dict.fromkeys(("acl", "grant_read", "grant_read_acp", "grant_write_acp", "grant_full_control"), _OWNERSHIP),
    "listobjects": _without_effect("obsolete in DVC"),
    "cache_regions": _without_effect("DVC 3.67 accepts no value that can be written in a file"),
    **_TLS,
}
_GS = {
    "projectname": _without_effect("needed to create buckets only"),
    "credentialpath": _HONOURED,
    "endpointurl": _HONOURED,
    "allow_anonymous_login": _HONOURED,
}
_AZURE = {
    **dict.fromkeys(("connection_string", "sas_token", "account_name", "account_key"), _HONOURED),
    **dict.fromkeys(("tenant_id", "client_id", "client_secret", "allow_anonymous_login"), _HONOURED),
    **dict.fromkeys(("timeout", "read_timeout", "connection_timeout"), _HONOURED),
    "exclude_environment_credential": _CREDENTIAL_CHAIN,
    "exclude_visual_studio_code_credential": _CREDENTIAL_CHAIN,
    "exclude_shared_token_cache_credential": _CREDENTIAL_CHAIN,
    "exclude_managed_identity_credential": _CREDENTIAL_CHAIN,
}
_HTTP = {
    **dict.fromkeys(("auth", "custom_auth_header", "user", "password"), _HONOURED),
    "ask_password": _ignored("no command asks; `dvc remote modify --local REMOTE password` keeps it outside Git"),
    "method": _without_effect("concerns uploads, and HTTP is read-only here"),
    **_TLS,
}
OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "": _COMMON | _FOLDER,
    "s3": _COMMON | _S3,
    "gs": _COMMON | _GS,
    "azure": _COMMON | _AZURE,
    "http": _COMMON | _HTTP,
    "https": _COMMON | _HTTP,
}
# The plug-in of DVC that opens a scheme, and the group of pyproject.toml that installs it; the others come with DVC.
_PLUGINS = {"gs": "dvc-gs", "azure": "dvc-azure"}
_NAMES = {"az": "azure", "gcs": "gs", "abfs": "azure", "abfss": "azure", "wasb": "azure", "wasbs": "azure", "s3a": "s3"}


def scheme_of(url: str) -> str:
    """The scheme of a URL, in lower case; empty for a folder."""
    scheme, mark, _ = url.partition("://")
    return scheme.lower() if mark and scheme != "file" else ""


def is_true(options: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Whether a flag is set, as DVC reads it."""
    return options[name].lower() == "true" if name in options else default


class Ignored(NamedTuple):
    """An option that DVC obeys and the registry does not, and a line that says so."""

    option: str
    message: str


def find_ignored(remote: Remote) -> Iterator[Ignored]:
    """The options of a remote that are ignored, in their order."""
    known = OPTIONS.get(scheme_of(remote.url), {})
    for name in remote.options:
        if name in known and known[name].handling is Handling.IGNORED:
            message = f"remote {remote.name}: option {name} is not honoured: {known[name].reason}"
            yield Ignored(name, message)


def require_usable(remote: Remote) -> None:
    """Raises StorageFailed for an option with which a remote cannot hold released objects."""
    known = OPTIONS.get(scheme_of(remote.url), {})
    for name in remote.options:
        is_refused = name in known and known[name].handling is Handling.REFUSED
        if is_refused and is_true(remote.options, name):
            fix = f"dvc remote modify {remote.name} {name} false"
            raise StorageFailed(f"remote {remote.name}: {name} cannot be used: {known[name].reason}", fix=fix)


def without_secrets(remote: Remote) -> Remote:
    """The remote as it travels to other processes, which find credentials of their own."""
    return replace(remote, options={name: one for name, one in remote.options.items() if name not in SECRETS})


def require_store(url: str) -> None:
    """Raises StorageFailed for a URL of a scheme that no store here can open; a folder is always one."""
    scheme = scheme_of(url)
    if scheme in OPTIONS:
        return
    shown = url.partition("?")[0].rpartition("@")[2] if "@" in url else url.partition("?")[0]
    if scheme in _NAMES:
        fix = f"write {_NAMES[scheme]}:// instead of {scheme}://"
        raise StorageFailed(f"{shown}: DVC does not know {scheme}://", fix=fix)
    fix = "use a folder, or s3://, gs://, azure:// or https:// and the bucket's name"
    raise StorageFailed(f"{shown}: not the URL of a store", fix=fix)


def require_dvc(url: str) -> None:
    """Raises StorageFailed for a URL that the installed DVC cannot open, which is how consumers read it."""
    require_store(url)
    scheme = scheme_of(url)
    plugin = _PLUGINS.get(scheme)
    if plugin and not find_spec(plugin.replace("-", "_")):
        shown = url.partition("?")[0]
        raise StorageFailed(f"{shown}: DVC needs {plugin} to open {scheme}://", fix=f"make venv WITH={scheme}")
