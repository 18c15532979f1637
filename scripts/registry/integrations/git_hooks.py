"""What Git passes to its hooks: through pre-commit as environment variables, or directly as arguments and input."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from registry.integrations.git import NULL_OID


@dataclass(frozen=True, slots=True)
class PushedRevisions:
    """The commits that a push sends: those reachable from `tips`, without those reachable from `known`.

    Both are arguments of rev-list: revisions, or options such as `--remotes=origin`.
    """

    tips: tuple[str, ...]
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeadChange:
    """The commits that HEAD named before and after a checkout; `git.NULL_OID` before the first one."""

    before: str
    after: str


def parse_pre_push(environ: Mapping[str, str], arguments: Sequence[str], lines: Iterable[str]) -> PushedRevisions:
    """What the hook pre-push is given. Pre-commit (4.7) passes on the first ref of a push only, Git all of them.

    Git gives the remote's name and URL as arguments and, for each ref, a line "ref commit remote-ref remote-commit".
    """
    if "PRE_COMMIT" in environ:
        remote, before = environ.get("PRE_COMMIT_REMOTE_NAME"), environ.get("PRE_COMMIT_FROM_REF")
        tip = environ.get("PRE_COMMIT_TO_REF") or environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD"
        known = (f"--remotes={remote}" if remote else "--remotes", *([before] if before else []))
        return PushedRevisions((tip,), known)
    refs = [line.split() for line in lines if line.strip()]
    tips = [commit for _, commit, _, _ in refs if commit != NULL_OID]
    on_remote = [commit for _, _, _, commit in refs if commit != NULL_OID]
    remote = arguments[0] if arguments else "origin"
    return PushedRevisions(tuple(tips), (f"--remotes={remote}", *on_remote))


def parse_post_checkout(environ: Mapping[str, str], arguments: Sequence[str]) -> HeadChange | None:
    """What the hook post-checkout is given; None when only files were checked out."""
    if "PRE_COMMIT" in environ:
        names = ("PRE_COMMIT_FROM_REF", "PRE_COMMIT_TO_REF", "PRE_COMMIT_CHECKOUT_TYPE")
        before, after, is_branch = (environ.get(name, "") for name in names)
    else:
        before, after, is_branch = arguments
    return HeadChange(before, after) if is_branch == "1" else None
