"""The pictures of a report on a branch at GitHub, to which its Markdown links."""

from collections.abc import Mapping
from pathlib import Path

from registry.core.atomic_write import write_atomically
from registry.core.wording import plural
from registry.errors import InvalidData, Refused
from registry.integrations import git_asset_branch, github
from registry.report import json_input, markdown
from registry.report.pictures import FOLDER

BRANCH = "reports"

MAX_PICTURES, MAX_BYTES, MAX_TOTAL = 1_000, 2_000_000, 50_000_000  # of a report; bytes of one picture, and of all
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"RIFF")


def publish(root: Path, folder: Path) -> str:
    """Push the pictures of a report to the branch `reports`, and write its report.md with links; returns their commit.

    report.md is rendered from report.json alone. Both and the pictures may come from a job that read data of a pull
    request, so only pictures that report.md shows are taken, PNG and WebP files of limited size; none is decoded.
    Raises InvalidData and InvalidDocument for anything else, and Refused where origin is not on GitHub.
    """
    report = json_input.parse((folder / json_input.PATH).read_bytes())
    place = f"{_address(root)}/" if report.pictures else ""
    unknown = f"{place}{'0' * 40}"  # as long as the commit that will have the pictures, so that the same ones fit
    text = markdown.render(report.page, markdown.links(report.pictures, unknown))
    shown = [one for one in report.pictures if f'"{unknown}/{one.light}"' in text]
    found = {name: folder / FOLDER / name for one in shown for name in (one.light, one.dark)}
    commit = _push(root, found) if found else ""
    shown_text = text.replace(unknown, f"{place}{commit}") if commit else text
    write_atomically(folder / "report.md", shown_text.encode())
    return commit


def _push(root: Path, found: Mapping[str, Path]) -> str:
    _require_pictures(found)
    return git_asset_branch.publish_files(
        root, BRANCH, {name: file.read_bytes() for name, file in found.items()}, "a report"
    )


def _address(root: Path) -> str:
    repository = github.find_repository(root)
    if repository is None:
        raise Refused(
            "origin is not on GitHub, so report.md cannot link to pictures on a branch", fix="--pictures local"
        )
    return f"https://{repository.host}/{repository.owner}/{repository.name}/raw"


def _require_pictures(found: Mapping[str, Path]) -> None:
    faults = [f"{name}: {fault}" for name, file in found.items() if (fault := _fault(file))]
    total = 0 if faults else sum(file.stat().st_size for file in found.values())
    faults += [f"{total:,} bytes in all, expected at most {MAX_TOTAL:,}"] * (total > MAX_TOTAL)
    if faults or len(found) > MAX_PICTURES:
        fix = "check the log of the job that made the report; nothing was pushed"
        raise InvalidData(f"{plural(len(found), 'file')}, expected pictures of a report", faults, fix=fix)


def _fault(file: Path) -> str:
    if file.parent.is_symlink() or file.is_symlink() or not file.is_file():
        return "is not a regular file"
    if file.stat().st_size > MAX_BYTES:
        return f"is larger than {MAX_BYTES:,} bytes"
    return "" if file.read_bytes().startswith(_SIGNATURES) else "is neither PNG nor WebP"
