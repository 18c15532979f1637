"""Prints what `registry fsck` found, as text for people and as JSON for programs."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

from registry.core.pointers import object_key
from registry.core.wording import plural, table
from registry.errors import SHOWN
from registry.release import fsck
from registry.storage.base import Store


def as_text(results: Sequence[fsck.Result], production: Store, copies: Mapping[str, str], source: str = "") -> str:
    """A table, the first ten faults, and hints; `source` is what `--repair` was given, if anything."""
    headers = ("tag", "objects", "bytes", *fsck.FaultState)
    lines = [table(headers, [(str(result.version.tag), *_numbers(result).values()) for result in results])]
    erased = ((one.version.tag, one.erased) for one in results if one.erased)
    lines += [f"{tag}: {plural(count, 'object was', 'objects were')} erased" for tag, count in erased]
    once = {(fault.md5, fault.message): (result, fault) for result in reversed(results) for fault in result.faults}
    faults = list(once.values())
    lines += [f"{result.version.tag}: {fault.message}" for result, fault in faults[:SHOWN]]
    lines += [f"… and {len(faults) - SHOWN:,} more"] * (len(faults) > SHOWN)
    return "\n".join([*lines, *_hints([fault for _, fault in faults], production, copies, source)]) + "\n"


def _numbers(result: fsck.Result) -> dict[str, int]:
    counts = {state.value: result.count(state) for state in fsck.FaultState}
    return {"objects": result.objects, "bytes": result.size, **counts}


def _hints(faults: Sequence[fsck.Fault], production: Store, copies: Mapping[str, str], source: str) -> Iterator[str]:
    states = {fault.state for fault in faults}
    if fsck.FaultState.MISSING in states:
        yield "hint: registry fsck --repair FROM (staging, cache, a remote, URL or folder) restores missing objects"
    if fsck.FaultState.INVALID in states:
        yield "hint: registry withdraw ID VERSION --why TEXT: a published tag cannot be corrected"
    corrupt = list(dict.fromkeys(fault.md5 for fault in faults if fault.state is fsck.FaultState.CORRUPT))
    if corrupt:
        yield "hint: production is create-only; only an administrator can replace corrupt objects:"
        yield from (f"  {_removal(production, md5, copies.get(md5))}" for md5 in corrupt[:SHOWN])
        again = quote(source) if any(md5 in copies for md5 in corrupt) else "FROM"
        yield f"  then: registry fsck --repair {again}{'; repeat for the rest' * (len(corrupt) > SHOWN)}"


def _removal(production: Store, md5: str, copy: str | None) -> str:
    """The command that deletes a corrupt object; commented out where no intact copy is known."""
    command = production.removal(object_key(md5))
    if copy:
        return f"{command}  # intact copy: {copy}"
    return f"# {command}  (first find an intact copy with registry fsck --repair FROM)"


def as_json(
    results: Sequence[fsck.Result], production: Store, copies: Mapping[str, str], restored: int
) -> dict[str, object]:
    """The same for programs, with every fault."""
    tags = [
        {
            "tag": str(result.version.tag),
            "commit": result.version.commit,
            **_numbers(result),
            "erased": result.erased,
            "faults": [
                {
                    "state": fault.state.value,
                    "path": fault.path,
                    "md5": fault.md5,
                    "message": fault.message,
                    "intact_copy": copies.get(fault.md5),
                }
                for fault in result.faults
            ],
        }
        for result in results
    ]
    found = {"finished": True, "intact": fsck.is_intact(results), "restored": restored, "tags": tags}
    return {"production": production.url, **found}


def as_unfinished_json(production: Store, reason: str) -> dict[str, object]:
    """What programs read of a run that a login ended before anything was known."""
    return {"production": production.url, "finished": False, "intact": None, "reason": reason, "tags": []}
