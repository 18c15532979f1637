"""What a Looker keeps, and its answers to the operations of its API that a registry may use."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from threading import Event
from typing import Any
from zoneinfo import available_timezones

from support.servers import looker_formats
from support.servers.looker_explores import Explore, Row, User, describe
from support.servers.looker_sql import Compiler, Rejected, run
from support.servers.looker_types import Call, chosen

DEFAULT_LIMIT = 5_000  # rows of a query without a limit
CAPPED = 5_000  # rows of all rows, for who may not download without a limit
MOST = 100_000  # the most rows of a given limit, for who may not download without a limit
TOKEN = "token-9aYt5Bc2"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and JSON or a text of a media type."""

    status: int
    said: object = ""
    media_type: str = "application/json;charset=utf-8"


@dataclass
class Running:
    """A query that runs: `stop` is set when it is killed."""

    task: str
    user: User
    query: Row
    stop: Event = field(default_factory=Event)


def error(status: int, message: str, *details: Row) -> Answer:
    """A failure as Looker words it: an Error, or a ValidationError where there are details."""
    url = "https://cloud.google.com/looker/docs/r/err/4.0"
    errors = [{"documentation_url": url, "code": "invalid", **one} for one in details]
    return Answer(status, {"message": message, "documentation_url": url} | ({"errors": errors} if errors else {}))


NOT_FOUND = error(404, "Not found")


@dataclass
class Api:
    """The state of a Looker. `users` have API keys; the first is the one of `env()`.

    `cap` truncates results, whatever the limit; `looks`, `dashboards` and `elements` are rows by id as Looker describes
    them; `commits` are those of LookML projects in production; `now` is the time of relative filters.
    """

    explores: list[Explore] = field(default_factory=list)
    users: list[User] = field(default_factory=lambda: [User("1", "Registry", is_service_account=True)])
    looks: dict[Any, Row] = field(default_factory=dict)
    dashboards: dict[str, Row] = field(default_factory=dict)
    elements: dict[str, Row] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    cap: int | None = None
    release: str = "26.22.7"
    workspace: str = "production"
    expires_in: int = 3600
    unknown_field_status: int = 422  # or 400: the description has both
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    url: str = ""
    sessions: dict[str, User] = field(default_factory=dict)
    queries: dict[str, Row] = field(default_factory=dict)  # by id, which is their slug
    tasks: dict[str, Row] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    killed: list[Running] = field(default_factory=list)
    logins: int = 0

    def answer(self, call: Call) -> Answer:
        """What Looker says to a request."""
        if call.operation == "login":
            return self._login(call)
        user = self.sessions.get(call.headers.get("Authorization", "").removeprefix("Bearer "))
        if user is None:
            return error(401, "Requires authentication.")
        missing = sorted(PERMISSIONS.get(call.operation, frozenset()) - user.permissions)
        if missing:
            return error(403, "You do not have permission to do that.")
        method: Callable[[Call, User], Answer] = getattr(self, f"_{call.operation}", lambda *_: NOT_FOUND)
        try:
            return method(call, user)
        except Rejected as refusal:
            if refusal.field:
                refusal.status = self.unknown_field_status if refusal.status == 422 else refusal.status
                return error(refusal.status, "Validation Failed", {"field": refusal.field, "message": str(refusal)})
            return error(refusal.status, str(refusal))

    def end_sessions(self) -> None:
        """All tokens end, as when Looker restarts or an admin signs a user out."""
        self.sessions.clear()

    # --- session ------------------------------------------------------------------------------------------------------

    def _login(self, call: Call) -> Answer:
        key = (call.body.get("client_id"), call.body.get("client_secret"))
        user = next((user for user in self.users if (user.client_id, user.client_secret) == key), None)
        if user is None:
            return NOT_FOUND
        self.logins += 1
        token = TOKEN if self.logins == 1 else f"{TOKEN}{self.logins}"
        self.sessions[token] = user
        return Answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in})

    def _logout(self, call: Call, _: User) -> Answer:
        del self.sessions[call.headers["Authorization"].removeprefix("Bearer ")]
        return Answer(204)

    def _versions(self, call: Call, _: User) -> Answer:
        version: Row = {"version": "4.0", "full_version": "4.0.26.22", "status": "current", "swagger_url": self.url}
        whole = {"looker_release_version": self.release, "web_server_url": self.url, "current_version": version}
        return _part(call, whole)

    def _me(self, call: Call, user: User) -> Answer:
        first, _, last = user.name.partition(" ")
        is_service = user.is_service_account
        return _part(call, {
            "id": user.id, "display_name": user.name, "first_name": first, "last_name": last, "is_disabled": False,
            "is_service_account": is_service, "email": None if is_service else f"{first.lower()}@acme.example",
        })  # fmt: skip

    def _session(self, _: Call, __: User) -> Answer:
        return Answer(200, {"workspace_id": self.workspace, "sudo_user_id": None})

    def _all_timezones(self, _: Call, __: User) -> Answer:
        zones = sorted(available_timezones() - {"localtime"})
        return Answer(200, [{"value": zone, "label": zone, "group": "Other"} for zone in zones])

    # --- LookML -------------------------------------------------------------------------------------------------------

    def _lookml_model(self, call: Call, user: User) -> Answer:
        explores = [one for one in self._seen(user) if one.model == call.values["lookml_model_name"]]
        if not explores:
            return NOT_FOUND
        names = [{"name": one.name, "label": one.name.title(), "hidden": False} for one in explores]
        model = {"name": explores[0].model, "project_name": explores[0].project, "explores": names}
        return _part(call, model)

    def _lookml_model_explore(self, call: Call, user: User) -> Answer:
        return _part(call, describe(self._explore(call.values["lookml_model_name"], call.values["explore_name"], user)))

    def _git_branch(self, call: Call, _: User) -> Answer:
        ref = self.commits.get(call.values["project_id"])
        if ref is None:
            return NOT_FOUND
        is_production = self.workspace == "production"
        name = f"__LOOKER_PROD_{ref}" if is_production else "dev-ana"
        return Answer(200, {"name": name, "ref": ref, "is_production": is_production, "is_local": True})

    def _seen(self, user: User) -> list[Explore]:
        return [one for one in self.explores if user.models is None or one.model in user.models]

    def _explore(self, model: str, name: str, user: User) -> Explore:
        found = next((one for one in self._seen(user) if (one.model, one.name) == (model, name)), None)
        if found is None:
            raise Rejected(404, "Not found")
        return found

    # --- content ------------------------------------------------------------------------------------------------------

    def _look(self, call: Call, _: User) -> Answer:
        look = self._row(self.looks, call.values["look_id"])
        return _part(call, look) if look else NOT_FOUND

    def _dashboard(self, call: Call, _: User) -> Answer:
        row = self._row(self.dashboards, call.values["dashboard_id"])
        return _part(call, row) if row else NOT_FOUND

    def _dashboard_element(self, call: Call, _: User) -> Answer:
        row = self._row(self.elements, call.values["dashboard_element_id"])
        return _part(call, row) if row else NOT_FOUND

    @staticmethod
    def _row(rows: Mapping[Any, Row], key: str) -> Row | None:
        return next((row for name, row in rows.items() if str(name) == key), None)

    # --- queries ------------------------------------------------------------------------------------------------------

    def _create_query(self, call: Call, user: User) -> Answer:
        self.compiled(call.body, user).statement()
        return _part(call, self.keep(call.body))

    def keep(self, body: Row) -> Row:
        """A query as Looker keeps it: the same one has the same slug for ever, which is its id too."""
        text = json.dumps({key: value for key, value in body.items() if key != "client_id"}, sort_keys=True)
        slug = (
            base64.urlsafe_b64encode(sha256(text.encode()).digest()).decode().replace("-", "x").replace("_", "y")[:22]
        )
        url = f"/explore/{body['model']}/{body['view']}?qid={slug}"
        return self.queries.setdefault(slug, {
            "client_id": slug, **body, "id": slug, "slug": slug, "url": url, "share_url": f"{self.url}/x/{slug}",
            "expanded_share_url": f"{self.url}{url}",
        })  # fmt: skip

    def _query(self, call: Call, _: User) -> Answer:
        query = self.queries.get(call.values["query_id"])
        return _part(call, query) if query else NOT_FOUND

    def _query_for_slug(self, call: Call, _: User) -> Answer:
        query = self.queries.get(call.values["slug"])
        return _part(call, query) if query else NOT_FOUND

    def _run_inline_query(self, call: Call, user: User) -> Answer:
        return self._run(call, call.body, user)

    def _run_query(self, call: Call, user: User) -> Answer:
        query = self.queries.get(call.values["query_id"])
        return self._run(call, query, user) if query else NOT_FOUND

    def _run_look(self, call: Call, user: User) -> Answer:
        look = self._row(self.looks, call.values["look_id"])
        query = look and look.get("query")
        return self._run(call, query, user) if isinstance(query, dict) else NOT_FOUND

    def compiled(self, query: Row, user: User) -> Compiler:
        """A query of a user, to be made into SQL. Raises Rejected."""
        explore = self._explore(str(query["model"]), str(query["view"]), user)
        if query.get("filter_config"):
            raise Rejected(400, "filter_config must be null", "filter_config")
        if query.get("dynamic_fields") not in {None, "", "[]"} and "create_custom_fields" not in user.permissions:
            raise Rejected(403, "You do not have permission to do that.")
        return Compiler(explore, query, user, self.now)

    def sql(self, query: Row, user: User | None = None) -> str:
        """The SQL that Looker generates for a query, without its limit."""
        return self.compiled(query, user or self.users[0]).statement().sql

    def _run(self, call: Call, query: Row, user: User) -> Answer:
        kind = call.values["result_format"]
        if kind == "sql":
            if "see_sql" not in user.permissions:
                return error(403, "You do not have permission to see SQL.")
            return Answer(200, self.sql(query, user), looker_formats.MEDIA_TYPES["sql"])
        with self._registered(query, user):
            return Answer(200, self.result(query, kind, call.params, user), looker_formats.MEDIA_TYPES[kind])

    @contextmanager
    def _registered(self, query: Row, user: User) -> Iterator[Running]:
        running = self.start(query, user)
        try:
            yield running
        finally:
            self.running.pop(running.task, None)

    def start(self, query: Row, user: User) -> Running:
        """A query that runs until it is taken out of `running` or killed."""
        task = sha256(f"{len(self.running)} {len(self.killed)} {json.dumps(query)}".encode()).hexdigest()[:32]
        self.running[task] = Running(task, user, query)
        return self.running[task]

    def result(
        self, query: Row, kind: str = "json", params: Mapping[str, str] | None = None, user: User | None = None
    ) -> str:
        """A query's result in a format, as `run` answers it: `params` are those of the request. Raises Rejected."""
        user, params = user or self.users[0], params or {}
        compiler = self.compiled(query, user)
        statement = compiler.statement()
        rows = run(compiler.explore, statement, self._limit(query, params, user))
        is_formatted = params.get("apply_formatting") == "true"
        return looker_formats.render(kind, rows, statement.fields, is_formatted=is_formatted)

    def download(self, query: Row, kind: str = "csv", user: User | None = None, *, limit: int = 500) -> bytes:
        """A file as a person downloads or Looker delivers it: formatted, with labels as heads (json: names)."""
        return self.result(query, kind, {"apply_formatting": "true", "limit": str(limit)}, user).encode()

    def _limit(self, query: Row, params: Mapping[str, str], user: User) -> int | None:
        limit = int(str(params.get("limit") or query.get("limit") or DEFAULT_LIMIT))
        if "download_without_limit" not in user.permissions:  # nothing says that it was cut
            limit = CAPPED if limit < 0 else min(limit, MOST)
        if "table_calculation" in str(query.get("dynamic_fields")):  # which cannot be streamed
            limit = MOST if limit < 0 else min(limit, MOST)
        limits = [number for number in (limit, self.cap) if number is not None and number >= 0]
        return min(limits, default=None)

    # --- running queries and tasks ------------------------------------------------------------------------------------

    def _all_running_queries(self, _: Call, __: User) -> Answer:
        return Answer(200, [
            {"id": one.task, "query_task_id": one.task, "status": "running", "user": {"id": one.user.id},
             "query": {"id": "1", **one.query}}
            for one in self.running.values()
        ])  # fmt: skip

    def _kill_query(self, call: Call, _: User) -> Answer:
        running = self.running.pop(call.values["query_task_id"], None)
        if running is None:
            return NOT_FOUND
        running.stop.set()
        self.killed.append(running)
        return Answer(204)

    def _create_query_task(self, call: Call, user: User) -> Answer:
        query = self.queries.get(call.body["query_id"])
        if query is None:
            return NOT_FOUND
        task: Row = {"id": f"task{len(self.tasks)}", **call.body, "status": "complete", "params": call.params}
        self.tasks[str(task["id"])] = task | {"user": user}
        return _part(call, {name: value for name, value in task.items() if name != "params"})

    def _query_task(self, call: Call, _: User) -> Answer:
        task = self.tasks.get(call.values["query_task_id"])
        hidden = {"params", "user"}
        return _part(call, {name: task[name] for name in task if name not in hidden}) if task else NOT_FOUND

    def _query_task_results(self, call: Call, _: User) -> Answer:
        """What was streamed is not kept, unless it is json_detail: so says the description of create_query_task."""
        task = self.tasks.get(call.values["query_task_id"])
        if task is None or task["result_format"] != "json_detail":
            return NOT_FOUND
        query, user, params = self.queries[str(task["query_id"])], task["user"], task["params"]
        assert isinstance(user, User)
        assert isinstance(params, dict)
        return Answer(200, self.result(query, "json_detail", params, user))


PERMISSIONS: Mapping[str, frozenset[str]] = {
    "run_inline_query": frozenset({"access_data", "explore"}),
    "run_query": frozenset({"access_data", "explore"}),
    "create_query": frozenset({"explore"}),
    "create_query_task": frozenset({"access_data", "explore"}),
    "query": frozenset({"access_data"}),
    "query_for_slug": frozenset({"access_data"}),
    "look": frozenset({"see_looks"}),
    "run_look": frozenset({"see_looks", "access_data"}),
    "lookml_model_explore": frozenset({"explore"}),
    "dashboard": frozenset({"see_user_dashboards"}),
    "dashboard_element": frozenset({"see_user_dashboards"}),
    "git_branch": frozenset({"see_lookml"}),
    "all_running_queries": frozenset({"see_queries"}),
}


def _part(call: Call, whole: Mapping[str, Any]) -> Answer:
    return Answer(200, chosen(whole, call.params["fields"]) if call.params.get("fields") else dict(whole))
