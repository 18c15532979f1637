"""The rule on where a change's objects are."""

from collections.abc import Iterator

from registry.checks.context import Facts
from registry.checks.findings import number, some, wrong
from registry.core.values import Finding


def objects_are_stored(facts: Facts) -> Iterator[Finding]:
    """Every object that the change refers to, in each of its commits, is in staging or production with the right size.

    Only `--remote` asks them. DVC's own commands are no gate: `dvc push` in a clone without the data succeeds, and
    `dvc status -c` there knows of no missing folder. What could not be judged is wrong too: it may not be merged.
    """
    for part in facts.stored.unknown if facts.stored else ():
        for fault in part.faults:
            yield wrong(f"could not be judged: {fault.message}", part.path, fault.line, fault.fix)
    for absent in facts.stored.absent if facts.stored else ():
        folder, commit = f"{absent.path.rpartition('/')[0]}/", absent.commit[:10]
        where = f"commit {commit}: " if commit else ""
        push = f"`registry push{f' {commit}' if commit else ''}` on the machine that has the data"
        if absent.missing:
            lost = f"{len(absent.missing):,} of {number(absent.total, 'object')}"
            shown = some([path.removeprefix(folder) for path in absent.missing])
            yield wrong(f"{where}neither staging nor production has {lost}: {shown}", absent.path, fix=push)
        if absent.faults:
            fix = f"have the damaged object deleted, then {push}"
            yield wrong(f"{where}objects are damaged: {some(absent.faults)}", absent.path, fix=fix)
