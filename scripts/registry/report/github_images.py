"""The pictures of a report on a branch at GitHub, to which its Markdown links."""

import re
from collections.abc import Mapping
from pathlib import Path

from registry.core.atomic_write import write_atomically
from registry.core.wording import plural
from registry.errors import InvalidData, Refused
from registry.integrations import git_asset_branch, github
from registry.report.pictures import FOLDER

BRANCH = "reports"

MAX_PICTURES, MAX_BYTES = 1_000, 2_000_000  # of a report, and of one picture
_NAME = re.compile(r"[a-z0-9_-]+\.(?:png|webp)")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"RIFF")


def publish(root: Path, folder: Path) -> str:
    """Push the pictures of a written report to the branch `reports`, and link report.md to them; returns their commit.

    The pictures may come from a job that ran code of a pull request, so only PNG and WebP files of limited size and
    with plain names are accepted. Raises InvalidData for anything else, and Refused where origin is not on GitHub.
    """
    found = {file.name: file for file in sorted((folder / FOLDER).glob("*"))}
    if not found:
        return ""
    repository = github.find_repository(root)
    if repository is None:
        raise Refused(
            "origin is not on GitHub, so report.md cannot link to pictures on a branch", fix="--pictures local"
        )
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
    if faults or len(found) > MAX_PICTURES:
        fix = "check the log of the job that made the report; nothing was pushed"
        raise InvalidData(f"{plural(len(found), 'file')}, expected pictures of a report", faults, fix=fix)


def _fault(file: Path) -> str:
    if not _NAME.fullmatch(file.name) or file.is_symlink() or not file.is_file():
        return "is not a regular file named *.png or *.webp"
    if file.stat().st_size > MAX_BYTES:
        return f"is larger than {MAX_BYTES:,} bytes"
    return "" if file.read_bytes().startswith(_SIGNATURES) else "is neither PNG nor WebP"
