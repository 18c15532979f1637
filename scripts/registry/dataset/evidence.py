"""How two selections of a dataset were made: whether the same query ran as the same SQL, by whom, on which LookML."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from registry.core.values import Asker, Selection
from registry.dataset.changes import DatasetChange, QueryChange

SAME = "same user and LookML: a relative date or a user attribute changes it too"
SHORT = 10  # characters of a hash or commit that are shown
HEADS: Mapping[QueryChange, str] = MappingProxyType(
    {
        QueryChange.FIRST: "first selection",
        QueryChange.UNCHANGED: "query and result unchanged",
        QueryChange.RESULT: "query and SQL unchanged",
        QueryChange.SQL: "query unchanged in the manifest, but Looker's SQL changed",
        QueryChange.UNKNOWN: "query unchanged in the manifest; whether Looker's SQL is the same is not known",
        QueryChange.FILE: "rows from a file; no query was run",
        QueryChange.QUERY: "query changed",
    }
)


def compare(old: Selection, new: Selection) -> QueryChange:
    """How the query of two selections changed, as far as their facts tell; their rows are not compared.

    That the SQL is the same is only said where both selections have its hash. RESULT, SQL, UNKNOWN, FILE or QUERY.
    """
    if old.source_hash != new.source_hash:
        return QueryChange.QUERY
    if new.query_hash is None:
        return QueryChange.FILE
    if old.query_hash not in {None, new.query_hash}:
        return QueryChange.QUERY
    if old.query_hash is None or old.sql_hash is None or new.sql_hash is None:
        return QueryChange.UNKNOWN
    return QueryChange.RESULT if old.sql_hash == new.sql_hash else QueryChange.SQL


def describe_change(change: DatasetChange) -> str:
    """How a dataset's query and rows changed, in one line."""
    head, (old, new) = HEADS[change.query_change], change.selections
    if change.query_change is QueryChange.FIRST and new and new.query_hash is None:
        return f"{head}, {'from a file' if new.file_hash else f'adopted from {new.origin}'}; no query was run"
    if change.query_change in {QueryChange.FIRST, QueryChange.UNCHANGED, QueryChange.QUERY}:
        return head
    return f"{describe(old, new) if old and new else head}; the rows changed"


def describe(old: Selection, new: Selection) -> str:
    """The change of the query in one line: `query and SQL unchanged`, or what changed in Looker."""
    change = compare(old, new)
    if change is QueryChange.UNKNOWN and old.query_hash is None:
        return f"first result of the query, after rows from the file {old.origin}"
    reasons = [] if change in {QueryChange.QUERY, QueryChange.FILE} else list(differences(old, new))
    if change is QueryChange.SQL and not reasons:
        is_known = all((old.asked_by, new.asked_by, old.lookml, new.lookml))
        reasons = [SAME if is_known else "whether the user or LookML changed is not known"]
    return f"{HEADS[change]} ({'; '.join(reasons)})" if reasons else HEADS[change]


def differences(old: Selection, new: Selection) -> Iterator[str]:
    """What differs in how two results of a query were made, other than the query; what is not known is left out."""
    if old.lookml and new.lookml and old.lookml != new.lookml:
        before, after = old.lookml.commit[:SHORT], new.lookml.commit[:SHORT]
        yield f"LookML of {new.lookml.project} changed from {before} to {after}"
    if old.asked_by and new.asked_by and old.asked_by.id != new.asked_by.id:
        yield f"asked by {describe_asker(new.asked_by)} instead of {describe_asker(old.asked_by)}"
    if old.workspace and new.workspace and old.workspace != new.workspace:
        yield f"workspace {new.workspace} instead of {old.workspace}"
    if old.looker_release and new.looker_release and old.looker_release != new.looker_release:
        yield f"Looker {new.looker_release} instead of {old.looker_release}"


def describe_asker(asker: Asker) -> str:
    """`Ana Silva (user 7)`, `registry (service account 12)`."""
    kind = f"{'service account' if asker.service_account else 'user'} {asker.id}"
    return f"{asker.name} ({kind})" if asker.name else kind
