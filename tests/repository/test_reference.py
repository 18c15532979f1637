"""docs/reference is what the commands, the schemas and the checks say of themselves."""

import subprocess
import sys
from pathlib import Path

import cmarkgfm
import pytest
from scripts import reference

ROOT = Path(__file__).parents[2]
PAGES = reference.pages()


def test_the_pages_are_up_to_date() -> None:
    assert list(reference.outdated()) == [], "run: python scripts/reference.py"
    assert sorted(path.name for path in reference.FOLDER.iterdir()) == sorted(PAGES)


def test_a_missing_page_and_one_that_differs_are_outdated(tmp_path: Path) -> None:
    (tmp_path / "commands.md").write_text(PAGES["commands.md"])
    (tmp_path / "checks.md").write_text(PAGES["checks.md"] + "more")
    assert sorted(reference.outdated(tmp_path)) == ["checks.md", "dvc-config.md", "files.md", "manifests.md"]


def test_the_program_compares() -> None:
    done = subprocess.run([sys.executable, "scripts/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_markdown_without_html(name: str) -> None:
    html = cmarkgfm.github_flavored_markdown_to_html(PAGES[name])
    assert "<!-- raw HTML omitted -->" not in html.replace("<!-- raw HTML omitted -->", "", 1)  # the note at the top
    assert "&lt;table" not in html
    assert name == "checks.md" or "<table>" in html


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("version", "| `version` | string | yes |"),
        ("inside a mapping", '| `source.looker.timezone` | string |  | `"UTC"` |'),
        ("inside a list", "| `gates[].metric` | string | yes |"),
        ("of any name", "| `columns.NAME.nullable` | boolean |  | `false` |"),
        ("only values", "| `exclude` | mapping of strings |"),
    ],
)
def test_a_key_of_a_manifest_has_a_row(key: str, row: str) -> None:
    assert f"\n{row}" in PAGES["manifests.md"], key


def test_every_option_and_sub_command_is_there() -> None:
    for text in ("## registry build", "`--exclude-faulty`", "### registry ci"):
        assert text in PAGES["commands.md"]
