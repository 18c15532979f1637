"""Writes remotes into a DVC configuration file, as `dvc remote add` and `dvc remote modify` do."""

from collections.abc import Mapping

from configobj import ConfigObj

from registry.storage.dvc_config import options_of
from registry.storage.remote_options import scheme_of


def write(config: bytes, remotes: Mapping[str, Mapping[str, str]]) -> bytes:
    """The file with these options set, `url` among them, and all else as it was.

    Where a remote gets a URL of another kind, options that DVC's schema does not allow there are removed. Production
    and remotes over HTTP get `verify`: without it, `dvc pull` (3.67) accepts content that does not match its MD5.
    Staging does not get it: DVC would download again what it pushes there.
    """
    parsed = ConfigObj(config.decode().splitlines(), interpolation=False)
    for name, options in remotes.items():
        remote = parsed.setdefault(f'remote "{name}"', {})
        for option, value in options.items():
            remote[option] = _to_dvc(value) if option == "url" else value
        if "url" in options:
            scheme = scheme_of(options["url"])
            for option in set(remote) - options_of(scheme):
                del remote[option]
            if scheme in {"http", "https"} or (name == "production" and "://" in options["url"]):
                remote["verify"] = "true"
    return ("\n".join(parsed.write()) + "\n").encode()


def _to_dvc(url: str) -> str:
    """A folder that is relative to the root, relative to `.dvc/`."""
    return url if "://" in url or url.startswith("/") else f"../{url}"
