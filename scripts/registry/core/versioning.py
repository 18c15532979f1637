"""How far a version has to move: what a change to an artifact's content demands, as reasons that a person can read.

Removed or relabelled items, classes or columns and another split rule break what was learned or measured before: major.
Added items, and a model that was trained again, are minor; words are a patch. Owners and withdrawals ask for nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields

from registry.core.values import Bump, Content, Counts, DatasetManifest, Diff, Manifest, RequiredBump, Version


def required_bumps(old: Content, new: Content, diff: Diff | None) -> tuple[RequiredBump, ...]:
    """What the change from one version to the next asks for, the furthest first.

    `diff` compares the items of the two; None where a dataset's images are the same, or nobody could read them.
    """
    found = list(_words(old.manifest, new.manifest))
    if isinstance(old.manifest, DatasetManifest) and isinstance(new.manifest, DatasetManifest):
        found += [*_shape(old.manifest, new.manifest), *(_items(diff) if diff else ()), *_pointers(old, new, diff)]
    else:
        found += _training(old, new)
    return tuple(sorted(found, key=lambda required: -required.bump))


def bump(found: Iterable[RequiredBump]) -> Bump:
    """The furthest of them."""
    return max((required.bump for required in found), default=Bump.NONE)


def lowest(released: Version, found: Iterable[RequiredBump]) -> Version:
    """The lowest version that keeps them all."""
    return released.bumped(bump(found))


def total(counts: Counts) -> int:
    """All items of all splits and classes."""
    return sum(sum(classes.values()) for classes in counts.values())


def _items(diff: Diff) -> Iterator[RequiredBump]:
    for counts, what, why in (
        (diff.removed, "removed", "A removal is major"),
        (diff.relabelled, "relabelled", "A new label is major"),
        (diff.moved, "moved to another split", "A move is major"),
        (diff.changed, "given other bytes", "Other bytes are major"),
    ):
        if number := total(counts):
            yield RequiredBump(Bump.MAJOR, f"{_images(number)} {what}", why)
    if number := total(diff.added):
        yield RequiredBump(Bump.MINOR, f"{_images(number)} added", "An addition is minor")


def _images(number: int) -> str:
    return "1 image was" if number == 1 else f"{number:,} images were"


def _shape(old: DatasetManifest, new: DatasetManifest) -> Iterator[RequiredBump]:
    if old.split != new.split:
        yield RequiredBump(Bump.MAJOR, "the split rule changed", "That deals the items anew, which is major")
    before, after = ({column.name: (column.type, column.nullable) for column in one.columns} for one in (old, new))
    yield from _names("class", "classes", set(old.classes), set(new.classes))
    yield from _names("column", "columns", set(before), set(after))
    if changed := sorted(name for name in before.keys() & after if before[name] != after[name]):
        yield RequiredBump(Bump.MAJOR, f"{_list('column', 'columns', changed)} changed", "Another type is major")


def _names(one: str, many: str, old: set[str], new: set[str]) -> Iterator[RequiredBump]:
    if gone := sorted(old - new):
        yield RequiredBump(Bump.MAJOR, f"{_list(one, many, gone)} removed", "A removal is major")
    if come := sorted(new - old):
        yield RequiredBump(Bump.MINOR, f"{_list(one, many, come)} added", "An addition is minor")


def _list(one: str, many: str, names: list[str]) -> str:
    return f"the {one if len(names) == 1 else many} {_enumerate(names)} {'was' if len(names) == 1 else 'were'}"


def _enumerate(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _pointers(old: Content, new: Content, diff: Diff | None) -> Iterator[RequiredBump]:
    if diff and not diff.rows.is_empty():
        return  # the items say it better
    for name, what in (("raw", "the selection changed"), ("prepared", "the images or their metadata changed")):
        if name in new.objects and old.objects.get(name) != new.objects[name]:
            yield RequiredBump(Bump.MINOR, what, "Other content is minor at least")


def _training(old: Content, new: Content) -> Iterator[RequiredBump]:
    if old.recipe != new.recipe:
        yield RequiredBump(Bump.MINOR, "the parameters changed", "Another training is minor at least")
    before, after = old.objects, new.objects
    if changed := sorted(path for path in before.keys() | after if before.get(path) != after.get(path)):
        yield RequiredBump(Bump.MINOR, f"{_enumerate(changed)} changed", "Another training is minor at least")


def _words(old: Manifest, new: Manifest) -> Iterator[RequiredBump]:
    # Who owns it and what was withdrawn is said of the artifact, not of one version.
    names = (field.name for field in fields(new) if field.name not in {"version", "owners", "withdrawn"})
    if changed := [name for name in names if getattr(old, name) != getattr(new, name)]:
        yield RequiredBump(Bump.PATCH, f"{_enumerate(changed)} changed", "Words are a patch")
