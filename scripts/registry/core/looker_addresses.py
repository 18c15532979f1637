"""The addresses of Looker's pages: an Explore, a share link, a Look and a dashboard; `parse(str(x)) == x` for each.

An Explore's address has the whole query in its parameters: `fields`, `f[VIEW.FIELD]`, `filter_expression`, `sorts`,
`query_timezone` and so on. A share link (`/x/SLUG`, `?qid=SLUG`), a Look and a dashboard name what Looker keeps.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

from registry.core.values import Look
from registry.core.wording import join
from registry.errors import RegistryError

MAX_LENGTH = 100_000  # characters; what browsers and Looker take is far less
LOOK_ID = r"[1-9][0-9]{0,17}"

_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DASHBOARD_ID = re.compile(r"[\w-]{1,255}(?:::[\w-]{1,255})?")
_FIELD = re.compile(r"\w[\w.]*")
_FILTER = re.compile(r"f\[([^\[\]]+)\]")
_ENDINGS = (".json", ".csv", ".txt", ".html", ".xlsx", ".png", ".md")  # forms that a result can be downloaded in
_PREFIXES = ("embed",)
_DASHBOARDS = ("dashboards", "dashboards-next", "dashboards-legacy")
_TREE = "__!internal!__"  # the key under which filter_config has filters that are nested by AND and OR

# What a dashboard's address says besides the values of its filters.
_OF_DASHBOARDS = {"filter_config", "theme", "_theme", "hide_filter", "toggle", "layout", "run", "refresh", "fullscreen"}
# What an Explore's address says besides its query: how the page looks.
_OF_THE_PAGE = {
    "vis", "vis_config", "toggle", "show", "origin", "origin_space", "origin_folder", "hidden_fields", "theme",
    "_theme", "filter_config", "title", "source", "run", "apply_formatting", "apply_vis", "embed_domain", "sdk",
    "allow_login_screen", "force_run", "qid", "cache", "generate_drill_links", "visible_ui_sections", "cell_limit",
}  # fmt: skip
_OF_THE_QUERY = {"fields", "filter_expression", "sorts", "query_timezone"}
_FIX = "copy it from the browser's address bar, in quotes: an Explore, a share link, a Look or a dashboard"


class InvalidAddress(RegistryError):
    """A text is not the address of something in Looker that names a query."""


@dataclass(frozen=True, slots=True)
class Query:
    """What an Explore shows, as far as a dataset can take it, and what cannot be taken.

    `omitted` are the other parameters by their names in an Explore's address, such as `limit` and `pivots`: each
    changes what Looker shows.
    """

    model: str
    view: str
    fields: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    filter_expression: str | None = None
    sorts: tuple[str, ...] = ()
    timezone: str | None = None
    omitted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExploreAddress:
    """An Explore with its query; `origin` is `https://HOST`."""

    origin: str
    query: Query

    def __str__(self) -> str:
        query = self.query
        parameters = {
            "fields": ",".join(query.fields),
            **{f"f[{name}]": text for name, text in query.filters.items()},
            "filter_expression": query.filter_expression or "",
            "sorts": ",".join(query.sorts),
            "query_timezone": query.timezone or "",
            **query.omitted,
        }
        return f"{self.origin}/explore/{quote(query.model, '')}/{quote(query.view, '')}{_parameters(parameters)}"


@dataclass(frozen=True, slots=True)
class SharedQuery:
    """A query that Looker keeps under a slug; `explore` is its model and view, where the address has them."""

    origin: str
    slug: str
    explore: tuple[str, str] | None = None

    def __str__(self) -> str:
        if self.explore is None:
            return f"{self.origin}/x/{self.slug}"
        model, view = self.explore
        return f"{self.origin}/explore/{quote(model, '')}/{quote(view, '')}?qid={self.slug}"


@dataclass(frozen=True, slots=True)
class LookAddress:
    """A saved Look; `filters` are those that its address has besides."""

    origin: str
    id: str
    filters: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.origin}/looks/{self.id}{_parameters({f'f[{name}]': text for name, text in self.filters.items()})}"
        )


@dataclass(frozen=True, slots=True)
class DashboardAddress:
    """A dashboard, and the values of its filters; `tile` is the id or the title of one of its tiles."""

    origin: str
    id: str
    filters: Mapping[str, str] = field(default_factory=dict)
    tile: str | None = None

    def __str__(self) -> str:
        named = {"tile": self.tile} if self.tile else {}
        return f"{self.origin}/dashboards/{quote(self.id, ':')}{_parameters(named | dict(self.filters))}"


Address = ExploreAddress | SharedQuery | LookAddress | DashboardAddress


def parse(text: str) -> Address:
    """The address of an Explore, a share link, a Look or a dashboard. Raises InvalidAddress."""
    url = _split(text)
    segments = [_decode(segment) for segment in url.path.split("/") if segment]
    while segments and segments[0] in _PREFIXES:
        segments = segments[1:]
    parameters = _read_parameters(url)
    origin = f"{url.scheme}://{url.netloc.lower()}"
    match segments:
        case ["explore" | "query", model, view]:  # the latter of embedded visualizations
            return _explore(origin, model, _without_ending(view), parameters)
        case ["x" | "query-visualization", slug]:
            return SharedQuery(origin, _slug(slug))
        case ["looks", look, *rest] if rest in ([], ["edit"]):
            return _look(origin, look, parameters)
        case [kind, dashboard, *rest] if kind in _DASHBOARDS and rest in ([], ["edit"]):
            return _dashboard(origin, dashboard, parameters)
        case _:
            raise _unknown_page(segments)


def parse_look(text: str) -> Look:
    """A Look by its number or its address, which are the same value. Raises InvalidAddress."""
    if re.fullmatch(LOOK_ID, text.strip(), re.ASCII):
        return Look(text.strip())
    address = parse(text)
    if not isinstance(address, LookAddress):
        raise InvalidAddress(f"{_shown(text)} is not the address of a Look", fix="write it as https://HOST/looks/42")
    if address.filters:
        names = join(list(address.filters))
        fix = f"save the filter in the Look, or write only {LookAddress(address.origin, address.id)}"
        raise InvalidAddress(f"the Look's address filters {names}, which the saved Look does not", fix=fix)
    return Look(address.id, address.origin)


def require_no_page(url: str) -> None:
    """Raise InvalidAddress for the address of a page in Looker where a file is expected; `/looks/42.csv` is one."""
    try:
        parse(url)
    except InvalidAddress:
        return
    if "." not in urlsplit(url).path.rsplit("/", 1)[-1]:
        fix = "give it to --from-explore of a new dataset, write a Look as source.look, or download its rows"
        raise InvalidAddress(f"{_shown(url)} is a page of Looker, not a file", fix=fix)


def require_same_for_all(filters: Mapping[str, str]) -> None:
    """Raise InvalidAddress for a filter by a user attribute, which Looker writes in Liquid: it depends on who asks."""
    for name, text in filters.items():
        if "{{" in text or "{%" in text:
            message = f"the filter of {name} depends on who asks ({_shown(text)}), so it is not the same for all"
            raise InvalidAddress(message, fix="filter by a value, and copy the address again")


# --- the parts of a URL -----------------------------------------------------------------------------------------------


def _split(text: str) -> SplitResult:
    """A pasted text as a URL: without what wraps it in mails, and without the fragment that no server is sent."""
    pasted = re.sub(r"[\t\r\n]", "", text).strip().strip("<>\"'“”„‘’«»").strip()
    if len(pasted) > MAX_LENGTH:
        raise InvalidAddress(f"the address has {len(pasted):,} characters, expected at most {MAX_LENGTH:,}", fix=_FIX)
    pasted = pasted.replace("&amp;", "&")  # copied from the source of a page or of a mail
    if not re.match(r"https?://", pasted, re.IGNORECASE):
        raise InvalidAddress(
            f"{_shown(pasted)} is not the address of a page: it does not begin with https://", fix=_FIX
        )
    try:
        url = urlsplit(pasted)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise InvalidAddress(f"{_shown(pasted)} is not the address of a page: {error}", fix=_FIX) from error
    if url.username is not None or url.password is not None:
        raise InvalidAddress("the address has a user name or a password in it", fix="remove all before the @")
    if not host or not re.fullmatch(r"[\w.:-]+", host):
        raise InvalidAddress(f"{_shown(pasted)} has no host name", fix=_FIX)
    return url


def _read_parameters(url: SplitResult) -> dict[str, str]:
    """The parameters by name. Raises InvalidAddress for two values of one, of which Looker would take the last."""
    try:
        pairs = parse_qsl(url.query, keep_blank_values=True, errors="strict")
    except ValueError as error:  # UnicodeDecodeError too
        raise InvalidAddress(f"the address cannot be decoded: {error}", fix=_FIX) from error
    parameters: dict[str, str] = {}
    for name, text in pairs:
        if parameters.setdefault(name, text) != text:
            fix = "open it in Looker, run the query, and copy the address again"
            raise InvalidAddress(f"the address has two values for {_shown(name)}", fix=fix)
    return parameters


def _decode(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidAddress(f"the address cannot be decoded: {error}", fix=_FIX) from error
    if not text.isprintable() or "/" in text or text in {".", ".."} or text.startswith("<"):
        raise InvalidAddress(f"{_shown(text)} is not part of an address in Looker", fix=_FIX)
    return text


def _parameters(parameters: Mapping[str, str]) -> str:
    """`?name=value&…`, spelled as Looker does; without what is empty."""
    pairs = [f"{quote(name, '[]')}={quote_plus(text, ',')}" for name, text in parameters.items() if text]
    return f"?{'&'.join(pairs)}" if pairs else ""


def _without_ending(name: str) -> str:
    return next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)), name)


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise InvalidAddress(f"{_shown(text)} is not the slug of a query", fix=_FIX)
    return text


def _shown(text: str) -> str:
    """A text from outside, as a message shows it: short, and without characters that could control a terminal."""
    short = text if len(text) <= 60 else f"{text[:60]}…"
    return repr("".join(sign if sign.isprintable() else " " for sign in short))


# --- pages ------------------------------------------------------------------------------------------------------------


def _explore(origin: str, model: str, view: str, parameters: Mapping[str, str]) -> ExploreAddress | SharedQuery:
    if not view:
        raise InvalidAddress("the address names no Explore", fix=_FIX)
    if parameters.get("qid") and not parameters.get("fields"):
        return SharedQuery(origin, _slug(parameters["qid"]), (model, view))
    filters = dict(_filters(parameters))
    expression = parameters.get("filter_expression", "").strip() or None
    _require_whole_filters(parameters.get("filter_config", ""), filters, expression)
    omitted = {
        name: text
        for name, text in parameters.items()
        if text and not _FILTER.fullmatch(name) and name not in _OF_THE_PAGE | _OF_THE_QUERY
    }
    query = Query(
        model=model,
        view=view,
        fields=_names(parameters.get("fields", "")),
        filters=filters,
        filter_expression=expression,
        sorts=tuple(sort.strip() for sort in parameters.get("sorts", "").split(",") if sort.strip()),
        timezone=parameters.get("query_timezone", "").strip() or None,
        omitted=omitted,
    )
    return ExploreAddress(origin, query)


def _look(origin: str, look: str, parameters: Mapping[str, str]) -> LookAddress | SharedQuery:
    number = _without_ending(look)
    if not re.fullmatch(LOOK_ID, number, re.ASCII):
        fix = "open the Look itself and copy its address, which ends in its number: https://HOST/looks/42"
        raise InvalidAddress(f"{_shown(look)} is not the number of a Look", fix=fix)
    if parameters.get("qid"):  # the Look was changed in the browser, and not saved
        return SharedQuery(origin, _slug(parameters["qid"]))
    return LookAddress(origin, number, dict(_filters(parameters)))


def _dashboard(origin: str, dashboard: str, parameters: Mapping[str, str]) -> DashboardAddress:
    if not _DASHBOARD_ID.fullmatch(dashboard):
        raise InvalidAddress(f"{_shown(dashboard)} is not the id of a dashboard", fix=_FIX)
    filters = {
        name: text for name, text in parameters.items() if text and name not in _OF_DASHBOARDS and name != "tile"
    }
    return DashboardAddress(origin, dashboard, filters, parameters.get("tile") or None)


def _unknown_page(segments: list[str]) -> InvalidAddress:
    """The error for a page that names no query, with the way that leads to one."""
    if segments[:1] == ["merge"]:
        fix = "explore each of its source queries and use their addresses, or export it and use source: export"
        return InvalidAddress("a merged result is not one query, so a dataset cannot take it", fix=fix)
    if segments[:1] in (["sql"], ["sql_runner"]):
        fix = "model it in LookML and copy the Explore's address, or export it and use source: export"
        return InvalidAddress("a query of SQL Runner belongs to no Explore, so a dataset cannot take it", fix=fix)
    if segments[:2] == ["login", "embed"] or segments[:1] in (["public"], ["sso"]):
        return InvalidAddress("the address is that of embedded content", fix="open it in Looker, and " + _FIX)
    page = "/".join(segments)
    return InvalidAddress(f"{_shown('/' + page)} is not an Explore, a share link, a Look or a dashboard", fix=_FIX)


# --- queries ----------------------------------------------------------------------------------------------------------


def _names(text: str) -> tuple[str, ...]:
    """The fields of a comma-separated list, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if not _FIELD.fullmatch(name):
            raise InvalidAddress(f"{_shown(name)} is not the name of a field", fix=_FIX)
    return names


def _filters(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The filters by field; an empty one admits any value, so it is none."""
    for name, text in parameters.items():
        if name.startswith("f[") and not (_FILTER.fullmatch(name) and _FIELD.fullmatch(name[2:-1])):
            raise InvalidAddress(f"{_shown(name)} is not a filter: expected f[VIEW.FIELD]", fix=_FIX)
        if name.startswith("f[") and text.strip():
            yield name[2:-1], text


def _require_whole_filters(config: str, filters: Mapping[str, str], expression: str | None) -> None:
    """Refuse an address whose filters are in part only in `filter_config`, the state of the page: rows would be added.

    The API knows `filters` and `filter_expression`; Looker's own addresses have `filter_config` beside them.
    """
    fix = "open it in Looker, run the query, and copy the address again; or save it as a Look"
    require_same_for_all(filters)
    try:
        state = json.loads(config) if config else {}
        fields = set(_filtered(state))
        is_nested = isinstance(state, dict) and _has_or(state.get(_TREE))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidAddress("filter_config in the address is not the JSON that Looker writes", fix=fix) from error
    missing = sorted(fields - filters.keys()) if expression is None else []
    if missing:
        raise InvalidAddress(f"the filter of {join(missing)} is only in filter_config, without its value", fix=fix)
    if is_nested and expression is None:
        raise InvalidAddress("filters joined by OR are only in filter_config", fix=fix)


def _filtered(state: Mapping[str, Any]) -> Iterator[str]:
    """The fields that a filter_config restricts; `any`, `anytime` and empty conditions do not."""
    for name, conditions in state.items():
        if name != _TREE and any(_restricts(condition) for condition in conditions):
            yield name


def _restricts(condition: Mapping[str, Any]) -> bool:
    if condition.get("type") in {"any", "anytime", "anyvalue"}:
        return False
    values = [value for value in condition.get("values", ()) if value]
    is_about_null = "null" in str(condition.get("type")) or "blank" in str(condition.get("type"))
    return is_about_null or any(str(value.get("constant", "1")) for value in values)


def _has_or(tree: Any) -> bool:
    """Whether a tree `["OR", [["AND", […]], …]]` joins more than one branch by OR."""
    match tree:
        case ["OR", [_, _, *_]]:
            return True
        case ["OR" | "AND", [*branches]]:
            return any(_has_or(branch) for branch in branches)
        case _:
            return False
