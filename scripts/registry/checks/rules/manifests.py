"""Rules on what people write in an artifact's manifest, and on how its version moves."""

from collections.abc import Iterator

from registry.checks.context import Facts, Scope, Subject
from registry.checks.findings import ask, wrong
from registry.core import versioning
from registry.core.values import Finding, RequiredBump, Tag

FETCH = "git fetch --unshallow --tags"


def manifest_keeps_its_schema(subject: Subject, _: Facts) -> Iterator[Finding]:
    """The manifest is YAML without tricks, keeps its schema, names its folder, and no `<place to fill>` is left.

    The schemas are `schemas/dataset.schema.json` and `schemas/model.schema.json`: owners and a licence are demanded.
    """
    for fault in subject.manifest.faults:
        yield wrong(fault.message, subject.manifest.path, fault.line, fault.fix)


def version_moves_with_content(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """What was released never changes under its version, and the next version is far enough away from the last.

    Removed, relabelled, moved or changed images, removed or changed classes and columns, another split rule: major.
    Added images, another selection, a model that was trained again: minor at least. Words: patch. No version goes back.
    """
    path, line = subject.manifest.path, subject.manifest.line("version")
    version = subject.manifest.value.version
    if subject.latest is None:
        if not facts.complete:
            yield ask("what was released before is not known in this shallow clone", path, line, FETCH)
        return
    released = subject.latest.tag.version
    if subject.latest.content is None:
        yield ask(f"{subject.latest.tag} is in a form that cannot be compared any more", path, line, "compare by hand")
        return
    found = versioning.required_bumps(subject.latest.content, subject.content, subject.diff)
    lowest = versioning.lowest_version(released, found)
    if version < released:
        if not _is_old_checkout(subject, facts):
            yield wrong(
                f"version {version} is behind {released}, which is released",
                path,
                line,
                f"set version: {max(lowest, released)}",
            )
    elif version < lowest:
        still = "is still" if version == released else "is"
        yield wrong(f"version {still} {version} but {_reasons(found)}", path, line, f"set version: {lowest}")


def _is_old_checkout(subject: Subject, facts: Facts) -> bool:
    """Whether somebody looks at the whole of an old release, in which nothing changed."""
    if facts.scope is not Scope.ALL or subject.own is None or subject.own.content is None:
        return False
    return not versioning.required_bumps(subject.own.content, subject.content, None)


def _reasons(found: tuple[RequiredBump, ...]) -> str:
    """`12 images were removed and 3 images were relabelled. A removal is major`."""
    furthest = [required for required in found if required.bump is found[0].bump]
    return f"{' and '.join(required.what for required in furthest[:2])}. {furthest[0].why}"


def withdrawn_versions_exist(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Only what was released can be withdrawn. Withdrawing asks for no new version."""
    for version in subject.manifest.value.withdrawn:
        if Tag(subject.id, version) in subject.releases:
            continue
        path, line = subject.manifest.path, subject.manifest.line("withdrawn", str(version))
        if facts.complete:
            yield wrong(
                f"withdrawn: {version} was never released", path, line, "name a released version: `registry list`"
            )
        else:
            yield ask(
                f"withdrawn: whether {version} was released is not known in this shallow clone", path, line, FETCH
            )
