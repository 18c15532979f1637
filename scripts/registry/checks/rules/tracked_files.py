"""Rules on the files that tools obey: the table of `checks.tracked_files`, and what DVC sees."""

from collections.abc import Iterator

from registry.checks import by_hand, tracked_files
from registry.checks.context import Facts, Scope
from registry.checks.findings import Diagnostic, needs_owner, wrong
from registry.checks.tracked_files import LINK, SUBMODULE, Policy, Row
from registry.core import wording


def files_are_expected(facts: Facts) -> Iterator[Diagnostic]:
    """Of the files that DVC, Git, GitHub, pip and Python obey, there are only those that checks or owners have read.

    The table in docs/reference/files.md says of each file whether it is free, judged by other checks, needs an owner
    when it changes, or must not be there: DVC files that no check reads, a `.dvc` folder or `.dvcignore` further down,
    submodules, symbolic links, a second CODEOWNERS, hooks of Python's start, configuration of tools inside artifacts. A
    file that is not in the table needs an owner.

    Why: these tools find such files by themselves. One `.dvc` file makes `dvc pull` download from another repository to
    any place, one `.gitmodules` makes Git clone it.

    How to fix: delete the file, or move its content to where the finding says; of what `dvc add` wrote by hand,
    `registry adopt` makes a dataset. An owner confirms a change of the others by approving the pull request.
    """
    changed: dict[Row, list[str]] = {}
    for path, row in _rows(facts):
        if row.policy is Policy.WRONG:
            fault = f"unexpected file ({row.name}); obeyed by {row.obeyed_by}"
            adopt = by_hand.adopt_command(path, facts.artifacts) if row is tracked_files.OTHER_DVC_FILES else ""
            yield wrong(fault, path, fix=f"{adopt}; or delete it" if adopt else row.fix.replace("PATH", f"'{path}'"))
        elif row.policy is Policy.OWNER and facts.scope is not Scope.ALL:
            changed.setdefault(row, []).append(path)
    for row, paths in changed.items():
        more = f" ({wording.plural(len(paths), 'file')}: {wording.abbreviate(paths)})" if len(paths) > 1 else ""
        yield needs_owner(f"{row.name}: changed{more}; obeyed by {row.obeyed_by}", paths[0], fix=row.fix)


def _rows(facts: Facts) -> Iterator[tuple[str, Row]]:
    """The changed paths with their rows; of what was deleted, only what a tool obeyed while it was there."""
    for file in facts.files:
        if file.is_submodule:
            yield file.path, SUBMODULE
        else:
            yield file.path, LINK if file.is_link else tracked_files.row_of(file.path)
    for path in facts.deleted:
        row = tracked_files.row_of(path)
        if row.policy is Policy.OWNER:
            yield path, row


def dvc_sees_what_is_checked(facts: Facts) -> Iterator[Diagnostic]:
    """`.dvcignore`, as DVC reads it, hides the templates of pipelines and no file of an artifact, and no `.gitignore`
    hides a pointer or a pipeline.

    Why: DVC skips what Git ignores without a word, so that `dvc pull` gets nothing. Apart from that it obeys every DVC
    file that it sees, and hashes every file of a folder that it sees. A pattern too few makes
    `dvc pull` and `dvc repro` obey files that are not for them, one too many makes another dataset of the same bytes.

    How to fix: restore the line, or remove the pattern; `dvc check-ignore --details PATH` shows which one matches.
    """
    for path in facts.visible:
        fault = f"DVC sees {path}, expected to be hidden"
        yield wrong(fault, ".dvcignore", fix=f"add the line /{path.split('/')[0]}")
    for hidden in facts.hidden:
        fault = f"DVC does not see {hidden.path}, which the pattern {hidden.pattern!r} hides"
        yield wrong(fault, hidden.file, hidden.line, "remove the pattern")
