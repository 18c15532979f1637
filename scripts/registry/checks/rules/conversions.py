"""Rules on what Git makes of files in a working tree: DVC and every reader get the bytes that were reviewed."""

from collections.abc import Iterator

from registry.checks.context import Facts
from registry.checks.findings import Diagnostic, wrong
from registry.core import wording


def files_are_not_converted(facts: Facts) -> Iterator[Diagnostic]:
    """No attribute makes Git convert a file in an artifact's folder, or one that configures DVC or the registry.

    These are `filter` (Git LFS too), `ident`, `working-tree-encoding`, `eol=crlf` and `export-subst`, in a
    `.gitattributes` of any folder or in `.git/info/attributes`.

    Why: DVC hashes and obeys the files in the working tree, a reviewer reads those in Git. A converted file is another
    one: a filter can replace it by what a program prints, and a model trained from it is out of date in every other
    clone.

    How to fix: remove the attribute; `git check-attr -a PATH` shows it. Data belongs in DVC, not in Git LFS.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for path, attributes in facts.conversions.items():
        found.setdefault(attributes, []).append(path)
    for attributes, paths in found.items():
        names = wording.join(attributes)
        more = f" (and {wording.plural(len(paths) - 1, 'more file')})" if len(paths) > 1 else ""
        fix = f"remove {names} for it from .gitattributes and .git/info/attributes"
        yield wrong(f"Git converts it by the attribute {names}, expected no conversion{more}", paths[0], fix=fix)


def line_ends_are_those_in_git(facts: Facts) -> Iterator[Diagnostic]:
    """No text file of an artifact or in `scripts/` has CRLF line ends in the working tree and LF in Git.

    Why: an editor, or `core.autocrlf` without this project's `.gitattributes`, makes such files. DVC hashes the bytes
    of the working tree, so a model's code seems changed; and no shell runs a script with CRLF.

    How to fix: run `registry check --fix`; nothing changes for Git. Keep `* text=auto eol=lf` in `.gitattributes`, so
    that clones have LF on every system.
    """
    if not facts.line_ends:
        return
    first, *more = facts.line_ends
    fault = "has CRLF line ends in the working tree, expected LF as in Git"
    others = f"; so {'has' if len(more) == 1 else 'have'} {wording.abbreviate(more)}" if more else ""
    yield wrong(f"{fault}{others}", first, fix="registry check --fix")
