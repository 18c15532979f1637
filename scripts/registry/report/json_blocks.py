"""The blocks of a report as JSON and back: each is an object whose `is` names its kind, and a text is a string.

What a picture was drawn from is left out. `decode` takes what follows `schemas/report.schema.json`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from registry.report import blocks
from registry.report.blocks import Block, Detail, Gallery, Picture, Section

KINDS = {
    kind.__name__.lower(): kind
    for kind in (
        blocks.Address, blocks.Code, blocks.Mark, blocks.Strong, blocks.Para, blocks.Bullets, blocks.Table,
        blocks.Lines, blocks.Picture, blocks.Figure, blocks.Gallery, blocks.Detail, blocks.Section,
    )
}  # fmt: skip
_NAMES = {kind: name for name, kind in KINDS.items()}


def encode(value: Any) -> Any:  # a block, a part of one, or a tuple of them
    """A block as `json.dumps` takes it."""
    if isinstance(value, tuple):
        return [encode(one) for one in value]
    name = _NAMES.get(type(value))
    if name is None:
        return value
    shown = [field.name for field in fields(value) if field.name != "source"]
    return {"is": name, **{key: encode(getattr(value, key)) for key in shown}}


def decode(value: Any) -> Any:  # what `encode` gave
    """The block that `encode` gave this for."""
    if isinstance(value, list):
        return tuple(decode(one) for one in value)
    if not isinstance(value, Mapping):
        return value
    parts = {key: decode(one) for key, one in value.items() if key != "is"}
    if "tone" in parts:
        parts["tone"] = blocks.Tone(parts["tone"])
    return KINDS[value["is"]](**parts)


def without_sources(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The sections without what their pictures were drawn from: what is left of them in JSON."""
    return tuple(replace(one, blocks=tuple(map(_without_source, one.blocks))) for one in sections)


def _without_source(block: Block) -> Block:
    match block:
        case Picture():
            return replace(block, source=None)
        case Gallery(figures):
            shown = tuple(replace(one, picture=replace(one.picture, source=None)) for one in figures)
            return replace(block, figures=shown)
        case Detail():
            return replace(block, blocks=tuple(map(_without_source, block.blocks)))
    return block
