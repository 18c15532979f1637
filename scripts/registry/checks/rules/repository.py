"""Rules on the registry's own files: settings, derived files, folders, secrets, and where bytes go."""

import re
from collections.abc import Iterator

from registry.checks.context import Facts
from registry.checks.findings import ask, wrong
from registry.core import names
from registry.core.layout import manifest_path, owner_of
from registry.core.values import Finding

_SECRETS = re.compile(
    r"^\s*(access_key_id|secret_access_key|session_token|password|token|connection_string|sas_token|account_key"
    r"|(?:gdrive_)?client_secret|oss_key_(?:id|secret)|hdfs_token)\s*=\s*\S",
    re.IGNORECASE,
)
_USER_IN_URL = re.compile(r"://[^/\s]*@|[?&](?:sig|signature|token|password|X-Amz-Signature)=", re.IGNORECASE)
_LOCAL = ("looker.ini", ".dvc/config.local", ".env", ".netrc", "credentials.json", "id_rsa", "id_ed25519")


def settings_can_be_read(facts: Facts) -> Iterator[Finding]:
    """`registry.yaml`, `.dvc/config` and what the derived files are made from can be read.

    `registry.yaml` keeps its schema, and `.dvc/config` names the remotes staging and production.
    """
    for part in facts.broken:
        for fault in part.faults:
            yield wrong(fault.message, part.path, fault.line, fault.fix)


def derived_files_are_current(facts: Facts) -> Iterator[Finding]:
    """`dvc.yaml`, CODEOWNERS, the list in README and the heads of the cards are what the manifests say.

    They are written by `registry check --fix`, never by hand. At a commit only the rows of what changed are compared.
    """
    for stale in facts.stale:
        yield wrong("is not what the manifests say", stale.path, stale.line, "registry check --fix, then `git add` it")


def folders_are_artifacts(facts: Facts) -> Iterator[Finding]:
    """Every folder in `datasets/` and `models/` is an artifact: a well-formed name, and a manifest in it."""
    for folder in facts.strangers:
        artifact = owner_of(f"{folder}/x")
        if artifact is None:
            fix = f"rename it: lower-case ASCII letters and digits in words joined by _ or -, at most {names.MAX_NAME}"
            yield wrong(f"{folder.partition('/')[2]!a} is not an artifact's name", folder, fix=fix)
        else:
            fix = f"registry new {artifact.kind} {artifact.name} in its place, or remove what is left of it"
            yield wrong(f"has no {manifest_path(artifact).rpartition('/')[2]}", folder, fix=fix)


def removal_is_meant(facts: Facts) -> Iterator[Finding]:
    """An artifact that a change removes needs an owner's word. Its releases stay published."""
    for artifact in facts.removed:
        fix = "withdraw bad versions with a reason instead, if that is what is meant"
        yield ask(f"{artifact} is removed; what was released of it stays published", manifest_path(artifact), fix=fix)


def no_secrets(facts: Facts) -> Iterator[Finding]:
    """No key, password or token is committed in `.dvc/config` or `registry.yaml`, and no file that is made for them.

    Credentials come from the environment (`AWS_PROFILE` …), or from `.dvc/config.local` and `looker.ini`, which Git
    ignores. The value is never shown.
    """
    for path, lines in facts.configs.items():
        for place, line in enumerate(lines, 1):
            if secret := _SECRETS.match(line):
                name, fix = (
                    secret[1].lower(),
                    f"dvc remote modify --local REMOTE {secret[1].lower()} …, and change it: it was seen",
                )
                yield wrong(f"{name} is a secret, and this file is committed", path, place, fix)
            elif _USER_IN_URL.search(line):
                fix = "leave user, password and signature out of the URL, and change them: they were seen"
                yield wrong("the URL holds credentials, and this file is committed", path, place, fix)
    for file in facts.files:
        if file.path in _LOCAL or file.path.rpartition("/")[2] in _LOCAL:
            fix = f"git rm --cached {file.path}, ignore it, and change what it held"
            yield wrong("holds credentials and must not be committed", file.path, fix=fix)


def places_stay(facts: Facts) -> Iterator[Finding]:
    """The lake and the remotes point where they did; moving one needs an owner: bytes then come from elsewhere."""
    for name, path in facts.moved.items():
        fix = "an owner compares the old and the new place, and that the objects are in both"
        yield ask(f"{name} points elsewhere than before", path, fix=fix)
