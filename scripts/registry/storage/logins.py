"""How to log in at a place that no remote of the registry is: with the options of one that is like it."""

from collections.abc import Mapping, Sequence

from registry.core.settings import Remote
from registry.storage.remote_options import scheme_of


def remote_for(url: str, remotes: Mapping[str, Remote], fallbacks: Sequence[str]) -> Remote:
    """The place with the options of a remote in the same bucket, else of the first fallback in the same kind of store.

    `remotes` are those of the registry's DVC configuration, `fallbacks` names of them. A web server gets the login of a
    remote on that server alone.
    """
    scheme = scheme_of(url)
    same = [remote for remote in remotes.values() if _root(remote.url) == _root(url)]
    named = [remotes[name] for name in fallbacks if name in remotes and not scheme.startswith("http")]
    alike = [remote for remote in named if scheme_of(remote.url) == scheme]
    found = next(iter([*same, *alike]), Remote(url))
    return Remote(url, found.options, found.name)


def _root(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme.lower()}{mark}{rest.partition('/')[0]}"
