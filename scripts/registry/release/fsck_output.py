"""Prints what `registry fsck` found, as text for people and as JSON for programs."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

from registry.core.values import Tag
from registry.core.wording import plural, table
from registry.dataset import shard_index
from registry.errors import SHOWN
from registry.release import fsck, stray_tags
from registry.release.fsck_versions import Fault, FaultState, Result
from registry.release.stray_tags import Stray
from registry.storage.base import Store

_NO_MANIFEST = "its tag names no release manifest, so MD5 alone proves its files; the next version will have one"


def as_text(
    results: Sequence[Result],
    production: Store,
    copies: Mapping[str, str],
    source: str = "",
    altered: Sequence[Tag] = (),
    strays: Sequence[Stray] = (),
) -> str:
    """A table, the first ten faults, and hints; `source` is what `--repair` was given, if anything.

    `altered` are the tags whose release on GitHub has another file in place of the release manifest. Neither these nor
    `strays` are releases with a fault.
    """
    headers = ("tag", "objects", "bytes", *FaultState)
    lines = [table(headers, [(str(result.version.tag), *_numbers(result).values()) for result in results])]
    lines += [str(stray) for stray in strays[:SHOWN]] + [f"hint: {stray_tags.FIX}"] * bool(strays)
    erased = ((one.version.tag, one.erased) for one in results if one.erased)
    lines += [f"{tag}: {plural(count, 'object was', 'objects were')} erased" for tag, count in erased]
    unproved = (one.version.tag for one in results if not (one.version.fault or not one.version.is_by_hand))
    lines += [f"{tag}: {_NO_MANIFEST}" for tag in unproved]
    every = [(result, fault) for result in reversed(results) for fault in result.faults]
    faults = list({(fault.md5 or one.version.tag, fault.message): (one, fault) for one, fault in every}.values())
    lines += [f"{result.version.tag}: {fault.message}" for result, fault in faults[:SHOWN]]
    lines += [f"… and {len(faults) - SHOWN:,} more"] * (len(faults) > SHOWN)
    lines += [f"{tag}: release.json of its release on GitHub is not its release manifest" for tag in altered]
    if altered:
        lines.append("hint: gh release delete-asset TAG release.json; then registry publish attaches the right one")
    return "\n".join([*lines, *_hints(results, [fault for _, fault in faults], production, copies, source)]) + "\n"


def _numbers(result: Result) -> dict[str, int]:
    counts = {state.value: result.count(state) for state in FaultState}
    return {"objects": result.objects, "bytes": result.size, **counts}


def _hints(
    results: Sequence[Result], faults: Sequence[Fault], production: Store, copies: Mapping[str, str], source: str
) -> Iterator[str]:
    of_shards = [fault for fault in faults if shard_index.is_key(fault.place)]
    yield from _hints_of_shards(of_shards, results, production)
    faults = [fault for fault in faults if fault not in of_shards]
    states = {fault.state for fault in faults}
    if FaultState.MISSING in states:
        yield "hint: registry fsck --repair FROM (staging, cache, a remote, URL or folder) restores missing objects"
    invalid = [result.version for result in results if result.count(FaultState.INVALID)]
    if any(version.is_by_hand for version in invalid):
        yield "hint: git push origin :refs/tags/TAG deletes a tag that was made by hand, unless a consumer pinned it"
    if invalid:
        yield "hint: registry withdraw ID VERSION --why TEXT: a published tag cannot be corrected"
    corrupt = list(dict.fromkeys(fault.key for fault in faults if fault.state is FaultState.CORRUPT))
    if corrupt:
        yield "hint: production is create-only; only an administrator can replace corrupt objects:"
        yield from (f"  {_removal(production, key, copies.get(key))}" for key in corrupt[:SHOWN])
        again = quote(source) if any(key in copies for key in corrupt) else "FROM"
        yield f"  then: registry fsck --repair {again}{'; repeat for the rest' * (len(corrupt) > SHOWN)}"


def _hints_of_shards(faults: Sequence[Fault], results: Sequence[Result], production: Store) -> Iterator[str]:
    corrupt = [fault.place for fault in faults if fault.state is FaultState.CORRUPT]
    if corrupt:
        yield "hint: production is create-only; only an administrator can delete corrupt shards:"
        yield from (f"  {production.removal(place)}" for place in corrupt[:SHOWN])
    tags = [result.version.tag for result in results if not set(faults).isdisjoint(result.faults)]
    yield from (f"hint: registry export {tag} --shards, which makes missing shards again" for tag in tags[:SHOWN])


def _removal(production: Store, key: str, copy: str | None) -> str:
    """The command that deletes a corrupt object; commented out where no intact copy is known."""
    command = production.removal(key)
    if copy:
        return f"{command}  # intact copy: {copy}"
    return f"# {command}  (first find an intact copy with registry fsck --repair FROM)"


def as_json(
    results: Sequence[Result],
    production: Store,
    copies: Mapping[str, str],
    restored: int,
    altered: Sequence[Tag] = (),
    strays: Sequence[Stray] = (),
) -> dict[str, object]:
    """The same for programs, with every fault."""
    tags = [
        {
            "tag": str(result.version.tag),
            "commit": result.version.commit,
            "manifest": result.version.manifest,
            **_numbers(result),
            "erased": result.erased,
            "faults": [
                {
                    "state": fault.state.value,
                    "path": fault.path,
                    "md5": fault.md5,
                    "message": fault.message,
                    "intact_copy": copies.get(fault.key),
                }
                for fault in result.faults
            ],
        }
        for result in results
    ]
    intact = fsck.is_intact(results) and not altered
    found = {"finished": True, "intact": intact, "restored": restored, "tags": tags, "altered": list(map(str, altered))}
    found |= {"strays": [{"tag": stray.name, "why": stray.why} for stray in strays]}
    return {"production": production.url, **found}


def as_unfinished_json(production: Store, reason: str) -> dict[str, object]:
    """What programs read of a run that a login ended before anything was known."""
    return {"production": production.url, "finished": False, "intact": None, "reason": reason, "tags": []}
