"""What a committed `.dvc/config` may say: every clone, consumer and job obeys it, so it is closed like a manifest.

The table has every section and option of DVC's schema (dvc.config_schema, 3.67); a contract test compares the two, so
that an option that a new DVC brings is noticed. What is not in it is refused. Options of one machine or one person
belong in `.dvc/config.local` or in DVC's global file, which are not judged here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from registry.errors import InvalidDocument

DEFAULT_REMOTE = "production"
MAX_BYTES = 16_384  # configobj's expressions take quadratic time


class Meaning(StrEnum):
    """What an option of a committed file is; the values are the words of docs/reference."""

    HARMLESS = "harmless"
    PLACE = "a place or access to it"  # an owner confirms a change
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Rule:
    """An option's meaning, and why it is wrong; `only` are the values that are not."""

    meaning: Meaning
    reason: str = ""
    only: tuple[str, ...] = ()

    def fault_of(self, value: str) -> str:
        """Why this value must not be there; empty where it may."""
        return "" if self.meaning is not Meaning.WRONG or value.lower() in self.only else self.reason


_HARMLESS, _PLACE = Rule(Meaning.HARMLESS), Rule(Meaning.PLACE)


def _wrong(reason: str, *only: str) -> Rule:
    return Rule(Meaning.WRONG, reason, only)


def _each(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


_OBSOLETE = _wrong("DVC ignores it")
_MACHINE = _wrong("it names something of one machine")
_PERSON = _wrong("it is one person's, and CI has another login")
_SECRET = _wrong("it is a credential")
_EXPERIMENTAL = _wrong("it starts machines in a cloud")
_PUSHES = _wrong("`dvc exp run` would push commits that no check has read")
_NO_STORE = _wrong("it belongs to a kind of remote that has no store here")
_CODE = _wrong("it names code that DVC runs")

CORE: Mapping[str, Rule] = {
    "remote": _wrong("consumers download from the default remote, which is production", DEFAULT_REMOTE),
    **_each("analytics check_update interactive checksum_jobs", _HARMLESS),
    "hardlink_lock": _MACHINE,
    "site_cache_dir": _wrong("DVC would keep its state, and look for it, in another folder on every machine"),
    "no_scm": _wrong("DVC would work without Git", "false"),
    "autostage": _wrong("DVC would add files to commits unasked", "false"),
    "machine": _EXPERIMENTAL,
    "experiments": _OBSOLETE,
}
CACHE: Mapping[str, Rule] = {
    **_each("type slow_link_warning verify", _HARMLESS),
    "dir": _wrong("DVC would read and write objects in another folder on every machine"),
    "shared": _wrong("it lets other users of a machine change the cache"),
    **_each("protected local s3 gs hdfs webhdfs ssh azure", _OBSOLETE),
}
REMOTE: Mapping[str, Rule] = {
    **_each("url region endpointurl projectname account_name allow_anonymous_login user auth", _PLACE),
    **_each("tenant_id client_id sse sse_kms_key_id sse_customer_algorithm", _PLACE),
    # The check `storage-access` says what becomes of these.
    **_each("acl grant_read grant_read_acp grant_write_acp grant_full_control shared worktree version_aware", _PLACE),
    **_each("exclude_environment_credential exclude_visual_studio_code_credential", _PLACE),
    **_each("exclude_shared_token_cache_credential exclude_managed_identity_credential", _PLACE),
    **_each("jobs checksum_jobs no_traverse type protected slow_link_warning listobjects cache_regions", _HARMLESS),
    **_each("method timeout connect_timeout read_timeout connection_timeout", _HARMLESS),
    "verify": _wrong("`dvc pull` would accept content that does not match its MD5", "true"),
    "ssl_verify": _wrong("it turns off the proof of the server, or names a certificate of one machine", "true"),
    "use_ssl": _wrong("objects and logins would cross the network unencrypted", "true"),
    "profile": _PERSON,
    "credentialpath": _PERSON,
    "configpath": _wrong("DVC runs the `credential_process` of that file"),
    "bearer_token_command": _CODE,
    "ask_password": _wrong("every command of DVC would wait for a person", "false"),
    "custom_auth_header": _wrong("it is a part of a login"),
    **_each("access_key_id secret_access_key session_token sse_customer_key password token", _SECRET),
    **_each("connection_string sas_token account_key client_secret passphrase", _SECRET),
    **_each("gdrive_client_secret oss_key_id oss_key_secret", _SECRET),
    **_each("port keyfile ask_passphrase gss_auth allow_agent max_sessions", _NO_STORE),
    **_each("kerb_ticket replication kerberos kerberos_principal proxy_to use_https data_proxy_target", _NO_STORE),
    **_each("oss_endpoint cert_path key_path gdrive_use_service_account gdrive_client_id", _NO_STORE),
    **_each("gdrive_user_credentials_file gdrive_service_account_user_email", _NO_STORE),
    **_each("gdrive_service_account_json_file_path gdrive_trash_only gdrive_acknowledge_abuse", _NO_STORE),
}
_MACHINES = "cloud region image spot spot_price instance_hdd_size instance_type instance_gpu ssh_private"
SECTIONS: Mapping[str, Mapping[str, Rule]] = {
    "core": CORE,
    "cache": CACHE,
    "remote": REMOTE,
    "state": _each("dir row_limit row_cleanup_quota", _OBSOLETE),
    "index": _each("dir", _OBSOLETE),
    "machine": _each(f"{_MACHINES} startup_script setup_script", _EXPERIMENTAL),
    "feature": _each("machine", _EXPERIMENTAL),
    "plots": {
        "html_template": _wrong("`dvc plots` would open a page with scripts of its own"),
        "auto_open": _MACHINE,
        "out_dir": _wrong("DVC would write into another folder"),
    },
    "exp": {**_each("auto_push git_remote", _PUSHES), **_each("code data models metrics params plots live", _OBSOLETE)},
    "parsing": _each("bool list", _wrong("it changes the commands of every pipeline")),
    "hydra": _each("enabled config_dir config_module config_name plugins_path", _CODE),
    "studio": _each("token url repo_url offline", _wrong("DVC would report to that server")),
    "db": _each("url username password", _wrong("it is a login of `dvc import-db`, which no artifact uses")),
}
SECRETS = frozenset(name for name, rule in REMOTE.items() if rule is _SECRET)
_UNKNOWN = _wrong("it is in no table of this version")
_NAMED = ("remote", "machine", "db")  # sections that have a mapping for each name

# What DVC and `dvc config` write. configobj reads much more: nested sections, quoted names, lists, values over several
# lines or that contain others, comments behind a value. All of that is hidden from whoever reads the file's lines.
_LINE = re.compile(
    r"""[ \t]*(?:\#.*)?
      | \[[a-z]+\]
      | \['(?:remote|machine|db)[ ]"[a-z0-9._-]+"'\]
      | [ \t]*[a-z0-9_]+[ ]?=[ ]?(?:(?:[^"'\#,%]|%(?!\())*|"(?:[^"%]|%(?!\())*")""",
    re.VERBOSE,
)


class ConfigFault(NamedTuple):
    """What a committed file must not say, and its line where it is the spelling of that."""

    message: str
    fix: str
    line: int | None = None
    option: str = ""  # the name to look for in the file


def find_misspelled(text: str) -> Iterator[ConfigFault]:
    """The lines that are not in the form that DVC writes, and a file that is too large to be read."""
    if excess := _find_excess(text):
        yield excess
        return
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        # What is not printable may end a line for configobj, as U+2028 does.
        if not _LINE.fullmatch(line) or not line.replace("\t", " ").isprintable():
            fix = "write [section], ['remote \"name\"'], name = value, or # a comment: one a line, names in lower case"
            yield ConfigFault("this line is not in the form that DVC writes", fix, number)


def _find_excess(text: str) -> ConfigFault | None:
    if len(text) <= MAX_BYTES:
        return None
    return ConfigFault(f"file is {len(text):,} characters; the limit is {MAX_BYTES:,}", "remove what is no option")


def require_size(text: str, path: str) -> None:
    """Raise InvalidDocument for a configuration file, committed or not, that is too large to be read."""
    if excess := _find_excess(text):
        raise InvalidDocument(path, excess.message, fix=excess.fix)


def find_forbidden(sections: Mapping[str, Any]) -> Iterator[ConfigFault]:
    """The options, as DVC reads them, that a committed file must not have, but for credentials: `SECRETS`."""
    for section, values in sections.items():
        named = values.items() if section in _NAMED else [("", values)]
        for name, options in named:
            for option, value in options.items():
                yield from _faults_of(section, name, option, value)


def forbid_cache_folder(path: str) -> None:
    """Raise InvalidDocument for the committed file at `path`, which has the option `cache.dir`."""
    for fault in find_forbidden({"cache": {"dir": "set"}}):
        raise InvalidDocument(path, fault.message, fix=fault.fix)


def require_spelling(data: bytes, path: str) -> None:
    """Raise InvalidDocument for a committed file in another form than DVC writes; to be called before it is parsed."""
    for fault in find_misspelled(data.decode(errors="replace")):
        raise InvalidDocument(path, fault.message, line=fault.line, fix=fault.fix)


def _faults_of(section: str, name: str, option: str, value: Any) -> Iterator[ConfigFault]:
    rule = SECTIONS.get(section, {}).get(option, _UNKNOWN)
    reason = rule.fault_of(value if isinstance(value, str) else ",".join(map(str, value)))
    if reason and option not in SECRETS:
        setting = f"{section}.{name}.{option}" if name else f"{section}.{option}"
        message = f"{setting} must not be set for every clone: {reason}"
        yield ConfigFault(message, _fix(rule, section, name, option), option=option)


def _fix(rule: Rule, section: str, name: str, option: str) -> str:
    value = rule.only[0] if rule.only else ""
    if rule is _UNKNOWN:
        fix = f"delete the line of {option}"
    elif section == "remote":
        fix = f"dvc remote modify {name} {option} {value}" if value else f"dvc remote modify --unset {name} {option}"
    elif section in _NAMED:
        fix = f"delete the section {section} {name}"
    else:
        fix = f"dvc config {section}.{option} {value}" if value else f"dvc config --unset {section}.{option}"
    return f"{fix}; what one machine or person needs is set with --local" if rule in (_PERSON, _MACHINE) else fix
