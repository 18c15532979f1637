"""The images of a report on a branch at GitHub, to which its Markdown links."""

import re
from collections.abc import Mapping
from pathlib import Path

from registry.core.atomic_write import write_atomically
from registry.errors import InvalidData, Refused
from registry.integrations import git_asset_branch, github
from registry.report.files import FOLDER

BRANCH = "reports"

MOST, LARGEST = 1_000, 2_000_000  # pictures of a report, and bytes of one

_NAME = re.compile(r"[a-z0-9_-]+\.(?:png|webp)")

_STARTS = (b"\x89PNG\r\n\x1a\n", b"RIFF")


def publish(root: Path, folder: Path) -> str:
    """Put a written report's pictures onto the branch `reports`, and let report.md link to them there; their commit.

    The pictures may come from a job that ran a pull request's code, so only PNG and WebP of a sensible size and name
    are taken. Raises InvalidData for anything else, and Refused where origin is not at GitHub.
    """
    found = {file.name: file for file in sorted((folder / FOLDER).glob("*"))}
    if not found:
        return ""
    repository = github.find(root)
    if repository is None:
        raise Refused("origin is not at GitHub, so report.md cannot link to pictures there", fix="--pictures local")
    _require_pictures(found)
    commit = git_asset_branch.publish_files(
        root, BRANCH, {name: file.read_bytes() for name, file in found.items()}, "a report"
    )
    address = f"https://{repository.host}/{repository.owner}/{repository.name}/raw/{commit}"
    text = (folder / "report.md").read_text()
    for name in found:
        text = text.replace(f'="{FOLDER}/{name}"', f'="{address}/{name}"')
    write_atomically(folder / "report.md", text.encode())
    return commit


def _require_pictures(found: Mapping[str, Path]) -> None:
    faults = [f"{name}: {fault}" for name, file in found.items() if (fault := _fault(file))]
    if faults or len(found) > MOST:
        fix = "look at the job that made the report; nothing was pushed"
        raise InvalidData(f"{len(found):,} files are not a report's pictures", faults, fix=fix)


def _fault(file: Path) -> str:
    if not _NAME.fullmatch(file.name) or file.is_symlink() or not file.is_file():
        return "is not named like a picture, or no plain file"
    if file.stat().st_size > LARGEST:
        return f"has more than {LARGEST:,} bytes"
    return "" if file.read_bytes().startswith(_STARTS) else "is neither PNG nor WebP"
