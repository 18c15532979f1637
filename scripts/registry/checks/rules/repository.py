"""Rules on the registry's own files: settings, generated files, folders, credentials, and storage locations."""

import re
from collections.abc import Iterator

from registry.checks import by_hand
from registry.checks.context import Facts, ModelSubject
from registry.checks.findings import Diagnostic, needs_owner, wrong
from registry.checks.rules.files import is_leftover
from registry.checks.rules.models import outputs_match_lock
from registry.core import committed_config, layout, names
from registry.core.layout import manifest_path, owner_of

_SECRETS = re.compile(rf"^\s*({'|'.join(sorted(committed_config.SECRETS))})\s*=\s*\S", re.IGNORECASE)
_USER_IN_URL = re.compile(r"://[^/\s]*@|[?&](?:sig|signature|token|password|X-Amz-Signature)=", re.IGNORECASE)
_CREDENTIAL_FILES = ("looker.ini", ".dvc/config.local", ".env", ".netrc", "credentials.json", "id_rsa", "id_ed25519")
_ROTATE = "rotate the credential: it is exposed in Git history"


def settings_are_valid(facts: Facts) -> Iterator[Diagnostic]:
    """`registry.yaml`, `.dvc/config` and the front matter of cards can be parsed and match their schemas.

    `.dvc/config` is read by DVC itself, and must define the remotes `staging` and `production`. It is written as DVC
    writes it, and has no option that redirects DVC, runs code, weakens a proof, or is one machine's: the table in
    docs/reference/dvc-config.md says which those are.

    Why: every command reads the storage locations and the owners from these files. Without them no other file can be
    generated or compared. Every clone, consumer and job obeys the committed configuration of DVC.

    How to fix: correct the line that the finding names. `schemas/registry.schema.json` describes `registry.yaml`. What
    only you need is set with `dvc config --local` or `dvc remote modify --local`.
    """
    for part in facts.unreadable:
        for fault in part.faults:
            yield wrong(fault.message, part.path, fault.line, fault.fix)


def generated_files_are_current(facts: Facts) -> Iterator[Diagnostic]:
    """`dvc.yaml`, `CODEOWNERS`, the list in `README.md`, and generated parts of cards match the artifacts.

    With `--staged` only the entries of changed artifacts are compared. What a card says of earlier versions is not, nor
    the card of a model whose `metrics.json` is not what was recorded: it would be written with the wrong numbers.

    Why: DVC, GitHub and the Hugging Face Hub read these files. An outdated file requests a review from the wrong owners
    or describes another version.

    How to fix: run `registry check --fix` and commit the files that it writes. Do not edit them by hand.
    """
    models = (subject for subject in facts.subjects if isinstance(subject, ModelSubject))
    waiting = {layout.card_path(model.id) for model in models if any(outputs_match_lock(model, facts))}
    for stale in facts.stale:
        if stale.path in waiting:
            continue
        yield wrong("does not match the manifests", stale.path, stale.line, "registry check --fix")


def folders_are_artifacts(facts: Facts) -> Iterator[Diagnostic]:
    """Every folder in `datasets/` and `models/` has a valid artifact name and a manifest.

    Why: a folder's path is the artifact's id and the start of its Git tags. Commands do not find a folder without a
    manifest, so its files would be neither checked nor published.

    How to fix: rename the folder, add its manifest, or delete what is left of it. `registry new` makes a new artifact,
    `registry adopt` one of what `dvc add` tracks.
    """
    for folder in facts.unknown_folders:
        if all(is_leftover(file, facts) for file in facts.files if file.path.startswith(f"{folder}/")):
            continue  # the rules on files say so
        artifact = owner_of(f"{folder}/x")
        if artifact is None:
            fix = f"rename it: lower-case ASCII letters and digits, words joined by _ or -, at most {names.MAX_NAME}"
            yield wrong(f"{folder.partition('/')[2]!a} is not a valid artifact name", folder, fix=fix)
        else:
            name = manifest_path(artifact).rpartition("/")[2]
            inside = (file.path for file in facts.files if file.path.startswith(f"{folder}/"))
            adopt = next(filter(None, (by_hand.adopt_command(path, facts.artifacts) for path in inside)), "")
            yield wrong(f"{name} is missing", folder, fix=adopt or f"add {name}, or delete the folder")


def removal_is_intended(facts: Facts) -> Iterator[Diagnostic]:
    """An artifact that a change removes is confirmed by an owner.

    Why: published versions stay available after the removal, but no correction of them can be released.

    How to fix: let an owner approve the pull request. To retire one version only, restore the folder and run
    `registry withdraw`.
    """
    for artifact in facts.removed:
        fix = "to retire single versions only, restore the folder and run `registry withdraw`"
        yield needs_owner(f"{artifact} is removed; its published versions stay", manifest_path(artifact), fix=fix)


def no_secrets(facts: Facts) -> Iterator[Diagnostic]:
    """No key, password or token is in `.dvc/config` or `registry.yaml`, and no credentials file is committed.

    The value of a credential is never printed.

    Why: Git keeps every version of a file, and every clone has it. A credential that was committed is compromised.

    How to fix: take credentials from the environment (`AWS_PROFILE`, …), or keep them in `.dvc/config.local` and
    `looker.ini`, which Git ignores. Rotate a credential that was committed.
    """
    for path, lines in facts.configs.items():
        for place, line in enumerate(lines, 1):
            if secret := _SECRETS.match(line):
                name = secret[1].lower()
                fix = f"move it to .dvc/config.local (`dvc remote modify --local`), and {_ROTATE}"
                yield wrong(f"{name} is a credential, and this file is committed", path, place, fix)
            elif _USER_IN_URL.search(line):
                fix = f"remove user, password and signature from the URL, and {_ROTATE}"
                yield wrong("the URL contains credentials, and this file is committed", path, place, fix)
    for file in facts.files:
        if file.path in _CREDENTIAL_FILES or file.path.rpartition("/")[2] in _CREDENTIAL_FILES:
            fix = f"`git rm --cached {file.path}`, add it to .gitignore, and {_ROTATE}"
            yield wrong("is a file for credentials, which must not be committed", file.path, fix=fix)


def storage_locations_stay(facts: Facts) -> Iterator[Diagnostic]:
    """The lake and DVC's remotes keep their locations and options, as DVC reads them, or an owner confirms the change.

    The same holds for every other setting in `.dvc/config`, such as `core.remote` and `cache.dir`.

    Why: after a move every command reads from and writes to the new location. Objects of published versions must be
    there, or these versions cannot be downloaded any more.

    How to fix: copy all objects to the new location first, then let an owner approve the pull request.
    """
    for name, path in facts.storage.moved.items():
        fix = "confirm that every object is at the new location"
        yield needs_owner(f"{name} now points to a different location", path, fix=fix)
    for setting in facts.storage.reconfigured:
        yield needs_owner(
            f"{setting} is changed, which every DVC command obeys", ".dvc/config", fix="confirm the change"
        )


def storage_can_be_opened(facts: Facts) -> Iterator[Diagnostic]:
    """DVC and the registry can open every remote and the lake, with each option that is set.

    Staging and production are in a folder, `s3://`, `gs://` (with dvc-gs) or `azure://` (with dvc-azure). An option
    that DVC obeys and the registry does not, such as `acl`, is named for an owner.

    Why: consumers read released versions with DVC alone. A version that was published where DVC cannot read it, or with
    other access than the configuration says, is lost to them.

    How to fix: correct the URL or the option, or install the plug-in that the finding names.
    """
    for fault in facts.storage.faults:
        make = wrong if fault.is_wrong else needs_owner
        yield make(fault.message, fault.path, fault.line, fault.fix)
