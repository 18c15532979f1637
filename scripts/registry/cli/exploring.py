"""From an address of Looker to the source of a new dataset: with an API key all of it, else what the address has."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from registry.core import looker_addresses
from registry.core.looker_addresses import Address, ExploreAddress, LookAddress, Query, SharedQuery
from registry.core.values import Look
from registry.errors import Refused
from registry.scaffold import explore
from registry.scaffold.explore import Source

CUT_OFF = "warning: the address has one parameter only; without quotes, a shell cuts an address off at the first &"


class Explored(NamedTuple):
    """The source of a new dataset, and what a reader has to know of it, line by line."""

    source: Source
    remarks: tuple[str, ...]


def from_address(root: Path, text: str, *, tile: str | None, uuid: str | None, label: str | None) -> Explored:
    """The query behind an address; `uuid` and `label` name fields, `tile` a dashboard's tile.

    Raises InvalidAddress, Refused where the address or the fields are not clear, NotFound and ServiceFailed.
    """
    from registry.integrations import looker_settings  # the SDK takes half a second to import

    address = looker_addresses.parse(text)
    if looker_settings.has_key(root):
        found = _with_key(root, address, tile=tile, uuid=uuid, label=label)
    else:
        found = _without_key(address, uuid=uuid, label=label)
    if isinstance(address, ExploreAddress) and "&" not in text:
        return found._replace(remarks=(*found.remarks, CUT_OFF))
    return found


def _with_key(root: Path, address: Address, *, tile: str | None, uuid: str | None, label: str | None) -> Explored:
    from registry.integrations import looker_content  # as above

    kept = looker_content.read(address, root, tile)
    source = explore.choose(kept.query, kept.look, types=kept.types, uuid=uuid, label=label)
    if kept.types is not None:
        explore.require_known(source, kept.types)
        source = explore.with_zones(source, kept.unconverted)
    remarks = [f"not taken: {line}" for line in kept.remarks]
    remarks += explore.remarks(source, kept.types, kept.measures)
    if not source.classes:
        labels = looker_content.read_labels(source.query, source.columns[1].source, root) or ()
        source = replace(source, classes=explore.usable_classes(labels) or ())
        if source.classes:
            remarks.append(f"classes are the {len(source.classes):,} labels that the query has today")
    remarks += [f"not known from Looker: {line}" for line in kept.unknown]
    return Explored(source, (*_describe_columns(source, uuid, label), *remarks))


def _without_key(address: Address, *, uuid: str | None, label: str | None) -> Explored:
    if isinstance(address, ExploreAddress):
        source = explore.choose(address.query, uuid=uuid, label=label)
        return Explored(source, (*_describe_columns(source, uuid, label), *explore.remarks(source, None)))
    # The query is kept in Looker: what is not known is a placeholder, on which `registry check` insists.
    uuid, label = uuid or "<VIEW.FIELD of the UUID>", label or "<VIEW.FIELD of the label>"
    if isinstance(address, LookAddress):
        query, look = Query("", ""), Look(address.id, address.origin)
        kept = "the fields of the Look"
    elif isinstance(address, SharedQuery) and address.explore:
        model, view = address.explore
        query, look = Query(model, view, filters={"<VIEW.FIELD>": "<a filter of the query, or none>"}), None
        kept = "fields, filters, sorts and time zone of the query"
    else:
        fix = "set LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET to an API key, or open it in "
        fix += "Looker, choose Explore from here and copy the address of that page"
        raise Refused("Looker keeps the query of this address, and no API key is set", fix=fix)
    remark = f"{kept} are kept in Looker, and no API key is set: fill in the placeholders"
    return Explored(explore.choose(query, look, uuid=uuid, label=label), (remark,))


def _describe_columns(source: Source, uuid: str | None, label: str | None) -> tuple[str, ...]:
    guessed = [
        f"{column.name} is {column.source}"
        for column, given in zip(source.columns, (uuid, label), strict=False)
        if not given
    ]
    return (f"{', '.join(guessed)}, by the name; choose others with --uuid and --label",) if guessed else ()
