"""What Git tells its hooks, by way of pre-commit (environment) or directly (arguments and standard input)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from registry.integrations.git import NO_COMMIT


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
        remote, before = environ.get("PRE_COMMIT_REMOTE_NAME"), environ.get("PRE_COMMIT_FROM_REF")
        tip = environ.get("PRE_COMMIT_TO_REF") or environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD"
        return Pushed((tip,), (f"--remotes={remote}" if remote else "--remotes", *([before] if before else [])))
    refs = [line.split() for line in lines if line.strip()]
    tips = [commit for _, commit, _, _ in refs if commit != NO_COMMIT]
    there = [commit for _, _, _, commit in refs if commit != NO_COMMIT]
    return Pushed(tuple(tips), (f"--remotes={arguments[0] if arguments else 'origin'}", *there))


def checked_out(environ: Mapping[str, str], arguments: Sequence[str]) -> tuple[str, str] | None:
    """The commits that the hook post-checkout is told, before and after; None when only files were checked out."""
    if "PRE_COMMIT" in environ:
        names = ("PRE_COMMIT_FROM_REF", "PRE_COMMIT_TO_REF", "PRE_COMMIT_CHECKOUT_TYPE")
        before, after, is_branch = (environ.get(name, "") for name in names)
    else:
        before, after, is_branch = arguments
    return (before, after) if is_branch == "1" else None
