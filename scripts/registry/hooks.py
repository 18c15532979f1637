"""What Git tells its hooks, by way of pre-commit (environment) or directly (arguments and standard input)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from registry.git import NO_COMMIT


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push is about to send: the revisions in `tips`, without the history of `known` (arguments of rev-list)."""

    tips: tuple[str, ...]
    known: tuple[str, ...]


def pushed(environ: Mapping[str, str], arguments: Sequence[str], lines: Iterable[str]) -> Pushed:
    """What the hook pre-push is told. Pre-commit (4.7) tells of the first ref of a push only, Git of all.

    Git gives the remote's name and URL as arguments and, for each ref, a line "ref commit remote-ref remote-commit".
    """
    if "PRE_COMMIT" in environ:
        known = [f"--remotes={environ['PRE_COMMIT_REMOTE_NAME']}"]
        if "PRE_COMMIT_TO_REF" not in environ:  # the first push of all: from the first commit on
            return Pushed((environ["PRE_COMMIT_LOCAL_BRANCH"],), tuple(known))
        return Pushed((environ["PRE_COMMIT_TO_REF"],), (*known, environ["PRE_COMMIT_FROM_REF"]))
    refs = [line.split() for line in lines if line.strip()]
    tips = [commit for _, commit, _, _ in refs if commit != NO_COMMIT]
    there = [commit for _, _, _, commit in refs if commit != NO_COMMIT]
    return Pushed(tuple(tips), (f"--remotes={arguments[0] if arguments else 'origin'}", *there))


def checked_out(environ: Mapping[str, str], arguments: Sequence[str]) -> tuple[str, str] | None:
    """The commits that the hook post-checkout is told, before and after; None when only files were checked out."""
    if "PRE_COMMIT" in environ:
        names = ("PRE_COMMIT_FROM_REF", "PRE_COMMIT_TO_REF", "PRE_COMMIT_CHECKOUT_TYPE")
        before, after, is_branch = (environ[name] for name in names)
    else:
        before, after, is_branch = arguments
    return (before, after) if is_branch == "1" else None
