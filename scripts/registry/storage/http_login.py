"""How one logs in to a web server: `auth` and its companions among a remote's options, as a header."""

from base64 import b64encode

from registry.core.settings import Remote
from registry.errors import StorageFailed


def login_headers(remote: Remote) -> dict[str, str]:
    """The header of every request, as DVC sends it; none without `auth`. Raises StorageFailed for what is missing."""
    options, method = remote.options, remote.options.get("auth", "").lower()
    if method == "basic":
        user, password = _demand(remote, "user"), _demand(remote, "password")
        return {"authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}
    if method == "custom":
        return {_demand(remote, "custom_auth_header"): _demand(remote, "password")}
    if method:
        fix = f"dvc remote modify {remote.name} auth basic"
        raise StorageFailed(f"remote {remote.name}: auth {options['auth']} is not supported, by DVC neither", fix=fix)
    return {}


def _demand(remote: Remote, option: str) -> str:
    if option in remote.options:
        return remote.options[option]
    fix = f"dvc remote modify --local {remote.name} {option} VALUE"
    raise StorageFailed(f"remote {remote.name}: auth needs {option}", fix=fix)
