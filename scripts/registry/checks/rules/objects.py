"""The rule on the objects that a change refers to in staging and production."""

from collections.abc import Iterator

from registry.checks.context import Absent, Facts
from registry.checks.findings import Diagnostic, wrong
from registry.core import wording


def objects_are_in_a_remote(facts: Facts) -> Iterator[Diagnostic]:
    """Every object that the change refers to, in each of its commits, is in staging or production with the right size.

    Only `--remote` runs this check. An object that cannot be verified is *wrong* too.

    Why: whoever pulls the branch needs these objects, and publishing copies them from staging. DVC does not verify it:
    `dvc push` in a clone without the data succeeds, and `dvc status --cloud` there does not report a missing folder.

    How to fix: run `registry push` on the machine that has the data. Delete a damaged object before.
    """
    if facts.stored is None:
        return
    for part in facts.stored.unknown:
        for fault in part.faults:
            yield wrong(f"could not be verified: {fault.message}", part.path, fault.line, fault.fix)
    for absent in facts.stored.absent:
        yield from _absent(absent)


def _absent(absent: Absent) -> Iterator[Diagnostic]:
    folder, commit = f"{absent.path.rpartition('/')[0]}/", absent.commit[:10]
    where = f"commit {commit}: " if commit else ""
    push = f"run `registry push{f' {commit}' if commit else ''}` on the machine that has the data"
    if absent.missing:
        count = f"{absent.missing:,} of {wording.plural(absent.total, 'object')}"
        verb = "is" if absent.missing == 1 else "are"
        paths = wording.abbreviate([path.removeprefix(folder) for path in absent.examples], total=absent.missing)
        yield wrong(f"{where}{count} {verb} missing in staging and production: {paths}", absent.path, fix=push)
    if absent.faults:
        fix = f"delete the damaged objects, then {push}"
        yield wrong(f"{where}objects are damaged: {wording.abbreviate(absent.faults)}", absent.path, fix=fix)
