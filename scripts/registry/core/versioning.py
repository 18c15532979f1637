"""Which version a change requires: semantic versioning of datasets and models, with reasons that a reader understands.

Removed or relabelled items, removed classes or columns, and a new split rule invalidate earlier training and metrics:
major. Added items, another query or layout and a retrained model are minor; metadata-only changes are a patch. Owners
and withdrawals require no new version.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields

from registry.core import parts
from registry.core.values import Bump, Content, Counts, DatasetManifest, Diff, Manifest, RequiredBump, Version


def required_bumps(old: Content, new: Content, diff: Diff | None) -> tuple[RequiredBump, ...]:
    """What the change from one version to the next requires, the largest bump first.

    `diff` compares the items of both; None where a dataset's images are the same, or could not be read.
    """
    found = list(_metadata_bumps(old.manifest, new.manifest))
    if isinstance(old.manifest, DatasetManifest) and isinstance(new.manifest, DatasetManifest):
        found += [
            *_schema_bumps(old.manifest, new.manifest),
            *(item_bumps(diff) if diff else ()),
            *_pointer_bumps(old, new, diff),
        ]
    else:
        found += _training_bumps(old, new)
    return tuple(sorted(found, key=lambda required: -required.bump))


def largest_bump(found: Iterable[RequiredBump]) -> Bump:
    """The largest of them; `Bump.NONE` where there is none."""
    return max((required.bump for required in found), default=Bump.NONE)


def lowest_version(released: Version, found: Iterable[RequiredBump]) -> Version:
    """The lowest version that meets all of them."""
    return released.bumped(largest_bump(found))


def total(counts: Counts) -> int:
    """All items of all splits and classes."""
    return sum(sum(classes.values()) for classes in counts.values())


def item_bumps(diff: Diff) -> Iterator[RequiredBump]:
    """What the changes of items alone require."""
    for counts, what, why in (
        (diff.removed, "removed", "A removal is major"),
        (diff.relabelled, "relabelled", "A new label is major"),
        (diff.moved, "moved to another split", "A move is major"),
        (diff.changed, "replaced", "A replaced image is major"),
    ):
        if number := total(counts):
            yield RequiredBump(Bump.MAJOR, f"{_images(number)} {what}", why)
    if number := diff.erased:
        yield RequiredBump(Bump.PATCH, f"{_images(number)} erased", "An erasure is a patch")
    if number := total(diff.added):
        yield RequiredBump(Bump.MINOR, f"{_images(number)} added", "An addition is minor")


def _images(number: int) -> str:
    return "1 image was" if number == 1 else f"{number:,} images were"


def _schema_bumps(old: DatasetManifest, new: DatasetManifest) -> Iterator[RequiredBump]:
    if old.split != new.split:
        yield RequiredBump(Bump.MAJOR, "the split rule changed", "Items are reassigned to splits, which is major")
    before, after = (
        {column.name: (column.type, column.nullable) for column in dataset.columns} for dataset in (old, new)
    )
    fields_before, fields_after = ({column.name: column.source for column in dataset.columns} for dataset in (old, new))
    common = fields_before.keys() & fields_after
    if old.source != new.source or any(fields_before[name] != fields_after[name] for name in common):
        yield RequiredBump(Bump.MINOR, "the query changed", "Another query is at least minor, whatever it returns")
    if old.folders != new.folders:
        yield RequiredBump(Bump.MINOR, "the layout changed", "Other folders are minor: the images are the same")
    yield from _name_bumps("class", "classes", set(old.classes), set(new.classes))
    if set(old.classes) <= set(new.classes) and new.classes[: len(old.classes)] != old.classes:
        yield RequiredBump(Bump.MAJOR, "classes were renumbered", "A new class that is not the last one is major")
    yield from _name_bumps("column", "columns", set(before), set(after))
    if changed := sorted(name for name in before.keys() & after if before[name] != after[name]):
        yield RequiredBump(Bump.MAJOR, f"{_subject('column', 'columns', changed)} changed", "A changed type is major")


def _name_bumps(noun: str, nouns: str, old: set[str], new: set[str]) -> Iterator[RequiredBump]:
    if removed := sorted(old - new):
        yield RequiredBump(Bump.MAJOR, f"{_subject(noun, nouns, removed)} removed", "A removal is major")
    if added := sorted(new - old):
        yield RequiredBump(Bump.MINOR, f"{_subject(noun, nouns, added)} added", "An addition is minor")


def _subject(noun: str, nouns: str, names: list[str]) -> str:
    return f"the {noun if len(names) == 1 else nouns} {_enumerate(names)} {'was' if len(names) == 1 else 'were'}"


def _enumerate(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _pointer_bumps(old: Content, new: Content, diff: Diff | None) -> Iterator[RequiredBump]:
    if diff and (diff.erased or not diff.rows.is_empty()):
        return  # the items explain it
    changed: dict[str, list[object]] = {"the selection changed": [one.objects.get("raw") for one in (old, new)]}
    if _folders(old) == _folders(new):  # otherwise the layout explains it
        changed["the images or their metadata changed"] = [parts.of(one.objects) for one in (old, new)]
    for what, (before, after) in changed.items():
        if after and before != after:
            yield RequiredBump(Bump.MINOR, what, "Changed content is at least minor")


def _folders(content: Content) -> int | None:
    return content.manifest.folders if isinstance(content.manifest, DatasetManifest) else None


def _training_bumps(old: Content, new: Content) -> Iterator[RequiredBump]:
    if old.recipe != new.recipe:
        yield RequiredBump(Bump.MINOR, "the parameters changed", "A new training is at least minor")
    before, after = old.objects, new.objects
    if changed := sorted(path for path in before.keys() | after if before.get(path) != after.get(path)):
        yield RequiredBump(Bump.MINOR, f"{_enumerate(changed)} changed", "A new training is at least minor")


def _metadata_bumps(old: Manifest, new: Manifest) -> Iterator[RequiredBump]:
    # Owners and withdrawals belong to the artifact, not to one version; a source and the folders are no metadata.
    left_out = {"version", "owners", "withdrawn", "source", "folders"}
    names = (field.name for field in fields(new) if field.name not in left_out)
    if changed := [name for name in names if getattr(old, name) != getattr(new, name)]:
        yield RequiredBump(Bump.PATCH, f"{_enumerate(changed)} changed", "A metadata-only change is a patch")
