"""Rules on what people write in an artifact's manifest, and on how far its version has to move."""

from collections.abc import Iterator

from registry.checks.context import ArtifactSubject, Facts, Scope
from registry.checks.findings import Diagnostic, needs_owner, wrong
from registry.core import versioning
from registry.core.artifact_files import ArtifactFiles
from registry.core.values import RequiredBump, Tag

FETCH = "git fetch --unshallow --tags"


def manifest_is_valid(files: ArtifactFiles) -> Iterator[Diagnostic]:
    """The manifest is plain YAML, matches its schema, has its folder's name, and has no `<placeholder>` left.

    The schemas are `schemas/dataset.schema.json` and `schemas/model.schema.json`; anchors, aliases and tags of YAML are
    refused.

    Why: everything else follows from the manifest: the data, the version, the owners who review, and the license.

    How to fix: correct the line that the finding names. `docs/reference/manifests.md` describes every key.
    """
    for fault in files.manifest.faults:
        yield wrong(fault.message, files.manifest.path, fault.line, fault.fix)


def version_matches_change(subject: ArtifactSubject, facts: Facts) -> Iterator[Diagnostic]:
    """The version is higher than the latest release, by at least what the change requires; otherwise nothing changed.

    Major: images, classes or columns removed or changed, images relabelled or moved to another split, another split
    rule. Minor: images or classes added, another query or selection, a new training. Patch: changes of metadata only,
    such as the title. Owners and withdrawals require no new version.

    Why: consumers pin versions. A released version must never change its content, and a major version tells that
    results are not comparable with earlier ones.

    How to fix: set `version` in the manifest to the version that the finding expects, or to a higher one.
    """
    path, line, version = subject.path, subject.line("version"), subject.manifest.version
    latest = subject.releases.latest
    if latest is None:
        if not facts.complete:
            yield needs_owner("earlier releases are unknown: this clone is shallow", path, line, FETCH)
        return
    released = latest.tag.version
    if latest.files is None:
        message = f"{latest.tag} was made by hand: its commit has no {path}"
        yield needs_owner(message, path, line, "delete that tag before the next release")
        return
    if latest.content is None:
        message = f"could not be compared with {latest.tag}: that manifest does not match today's schema"
        yield needs_owner(message, path, line, "compare the two versions by hand")
        return
    if (said := latest.content.manifest.version) != released:
        message = f"{latest.tag} was made by hand: the manifest of its commit says {said}"
        yield needs_owner(message, path, line, f"withdraw {released}, or delete that tag, before the next release")
    found = versioning.required_bumps(latest.content, subject.content, subject.diff)
    lowest = versioning.lowest_version(released, found)
    if version < released:
        if not _is_old_checkout(subject, facts):
            message = f"version is {version}, but {released} is released already"
            yield wrong(message, path, line, f"set version: {max(lowest, released)}")
    elif version < lowest:
        message = f"version is {version}, expected at least {lowest}: {_reasons(found)}"
        yield wrong(message, path, line, f"set version: {lowest}")


def _is_old_checkout(subject: ArtifactSubject, facts: Facts) -> bool:
    """Whether this is an unchanged old release, checked with `--all`."""
    own = subject.releases.own
    if facts.scope is not Scope.ALL or own is None or own.content is None:
        return False
    return not versioning.required_bumps(own.content, subject.content, None)


def _reasons(found: tuple[RequiredBump, ...]) -> str:
    """`12 images were removed and 3 images were relabelled (a removal is major)`."""
    furthest = [required for required in found if required.bump is found[0].bump]
    why = furthest[0].why
    return f"{' and '.join(required.what for required in furthest[:2])} ({why[:1].lower()}{why[1:]})"


def withdrawn_versions_exist(subject: ArtifactSubject, facts: Facts) -> Iterator[Diagnostic]:
    """Every version under `withdrawn` was released; an owner decides about an earlier one that never was.

    Why: a typing error would leave the bad version in use, without a warning to its consumers. A version that was
    merged and cannot be published, because its objects are lost, is withdrawn too: a publish leaves it out then.

    How to fix: name a released version; `registry list` shows them. In a shallow clone fetch the tags first.
    """
    for version in subject.manifest.withdrawn:
        if Tag(subject.id, version) in subject.releases.tags:
            continue
        path, line = subject.path, subject.line("withdrawn", str(version))
        if facts.complete and version < subject.manifest.version:
            message = f"withdrawn: {version} was never released, and will not be"
            yield needs_owner(message, path, line, "registry list shows the released versions")
        elif facts.complete:
            fix = "name a released version (`registry list` shows them)"
            yield wrong(f"withdrawn: {version} was never released", path, line, fix)
        else:
            message = f"withdrawn: could not verify that {version} was released: this clone is shallow"
            yield needs_owner(message, path, line, FETCH)
