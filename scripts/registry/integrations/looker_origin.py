"""What Looker tells of how a query is run: the user, the workspace, the LookML, the generated SQL, and a link to it."""

import re
from dataclasses import dataclass
from hashlib import sha256

from looker_sdk.sdk.api40.models import WriteQuery

from registry.core.values import Asker, Lookml
from registry.integrations.looker_connection import Connection

_PRODUCTION = re.compile(r"__LOOKER_PROD_([0-9a-f]{7,64})")  # how Looker names the branch that production is at


@dataclass(frozen=True, slots=True)
class Origin:
    """How a query was run; what Looker did not tell is None."""

    asked_by: Asker | None
    workspace: str | None
    lookml: Lookml | None
    release: str | None
    share_url: str | None
    sql_hash: str | None


def learn(looker: Connection, query: WriteQuery, project: str | None) -> Origin:
    """Ask for all of it; no row depends on any of it, so what fails is noted in `looker.unknown`."""
    return Origin(
        asked_by=looker.ask_optional("the user of the API key", lambda: _asked_by(looker)),
        workspace=looker.ask_optional("the workspace", lambda: looker.sdk.session().workspace_id),
        lookml=looker.ask_optional("the LookML commit", lambda: _lookml(looker, project)) if project else None,
        release=looker.ask_optional("Looker's release", lambda: _release(looker)),
        share_url=looker.ask_optional("the share link", lambda: _share_url(looker, query)),
        sql_hash=looker.ask_optional("the generated SQL", lambda: _sql_hash(looker, query)),
    )


def _asked_by(looker: Connection) -> Asker | None:
    user = looker.sdk.me(fields="id,display_name,is_service_account,service_account_name")
    if user.id is None:
        return None
    name = user.service_account_name or user.display_name or ""
    return Asker(user.id, looker.transport.redact(name), bool(user.is_service_account))


def _lookml(looker: Connection, project: str) -> Lookml | None:
    branch = looker.sdk.git_branch(project)
    named = _PRODUCTION.fullmatch(branch.name or "")
    commit = branch.ref or (named and named[1])
    return Lookml(project, commit) if commit else None


def _release(looker: Connection) -> str | None:
    return looker.sdk.versions(fields="looker_release_version").looker_release_version


def _share_url(looker: Connection, query: WriteQuery) -> str | None:
    # The SDK requires model and view in the response.
    return looker.sdk.create_query(query, fields="model,view,share_url").share_url


def _sql_hash(looker: Connection, query: WriteQuery) -> str:
    return sha256(generated_sql(looker, query).encode()).hexdigest()


def generated_sql(looker: Connection, query: WriteQuery) -> str:
    """The SQL that Looker makes of a query, which is not run. Raises ServiceFailed."""
    return str(looker.sdk.run_inline_query("sql", query, limit=-1))
