"""Copies of a template with a history: set up from its code, and brought to its next release."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.core import settings
from registry.core.settings import Template
from registry.integrations import github
from registry.integrations.git_trees import Revision, WorkTree
from registry.scaffold import copy, skeleton, template_repository
from support import copies, repositories
from support.repositories import Run, git_in
from support.servers.github import GitHub, serve

ROOT = Path(__file__).parents[2]
SETTINGS = ("--name", "acme-data", "--owner", "@acme/data", "--bucket", ".registry", "--lake", ".registry/lake")
NEWS = "- **Nights**: the nightly workflow has\n  another name.\n"
PUBLISH, NIGHTLY, MAKEFILE = ".github/workflows/publish.yml", ".github/workflows/nightly.yml", "Makefile"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it is on disk, at 1.0.0; and what the release 1.1.0 changes."""
    root = tmp_path_factory.mktemp("template") / "template"
    for entry in WorkTree(ROOT).list():
        (root / entry.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / entry.path, root / entry.path)
    git_in(root.parent, "init", "--quiet", str(root))
    repositories.commit(root, "The first release")
    git_in(root, "tag", "v1.0.0")
    edit(root / "pyproject.toml", 'version = "1.0.0"', 'version = "1.1.0"')
    edit(root / PUBLISH, "name: Publish\n", "name: Publish versions\n")
    edit(root / NIGHTLY, "name: Nightly checks\n", "name: Every night\n")
    edit(root / skeleton.TEMPLATES / MAKEFILE, "## Show this.", "## Show the commands.")
    edit(root / skeleton.TABLE, '  ".github/workflows/assign.yml",\n', "")
    edit(root / skeleton.TABLE, '  "infra/aws.yaml",\n', '  "infra/aws.yaml",\n  "infra/more.yaml",\n')
    (root / "infra/more.yaml").write_text("more: true\n")
    (root / ".github/workflows/assign.yml").unlink()
    edit(
        root / "CHANGELOG.md", "### Added\n\n", "### Added\n\n- **Nights**: the nightly workflow has\n  another name.\n"
    )
    repositories.commit(root, "Better names")
    git_in(root, "tag", "v1.1.0")
    return root


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is not in {file}"
    file.write_text(text.replace(old, new, 1))


@pytest.fixture
def thin(template: Path, tmp_path: Path) -> Path:
    """A copy of 1.0.0, committed."""
    made = copies.make(tmp_path / "copy", Revision(template, "v1.0.0"), pin(template, "v1.0.0"))
    repositories.commit(made, "our registry")
    return made


@pytest.fixture
def fat(template: Path, tmp_path: Path) -> Path:
    """What «Use this template» makes of 1.0.0: all files, and one commit without a history."""
    root = tmp_path / "fat"
    git_in(tmp_path, "clone", "--quiet", "--branch", "v1.0.0", str(template), str(root))
    shutil.rmtree(root / ".git")
    git_in(root, "init", "--quiet", "--initial-branch=main")
    repositories.commit(root, "Initial commit")
    return root


def pin(template: Path, tag: str) -> Template:
    return Template(template.as_uri(), tag[1:], git_in(template, "rev-parse", tag))


def recorded(root: Path) -> Template | None:
    return settings.read(WorkTree(root)).template


# --- a repository that has the tooling's code -------------------------------------------------------------------------


def test_both_ways_in_give_one_copy(template: Path, fat: Path, thin: Path, run_registry: Run) -> None:
    done = run_registry(fat, "init", *SETTINGS, "--source", template.as_uri())
    assert done.code == 0, done.err
    assert "of the template removed, such as the tests of the tooling" in done.out
    assert copies.files(fat) == copies.files(thin)
    assert recorded(fat) == pin(template, "v1.0.0")


def test_what_a_team_has_made_already_stays(template: Path, fat: Path, run_registry: Run) -> None:
    repositories.dataset(fat, "pets", repositories.PETS, "1.0.0")
    (fat / "docs/ours.md").write_text("ours\n")
    (fat / "tests/test_ours.py").write_text("")
    done = run_registry(fat, "init", *SETTINGS, "--source", template.as_uri())
    assert done.code == 0, done.err
    found = copies.files(fat)
    assert {"docs/ours.md", "tests/test_ours.py", "datasets/pets/dataset.yaml"} <= found.keys()
    assert not [path for path in found if path.startswith(("scripts/registry", "docs/reference", "models/cats"))]
    assert b"/datasets/pets/ @acme/vision" in found["CODEOWNERS"]
    assert b"datasets/pets" in found["README.md"]


def test_the_template_must_be_known(fat: Path, run_registry: Run) -> None:
    before = copies.files(fat)
    assert run_registry(fat, "init", *SETTINGS).refused("the repository of the template", "--source")
    nowhere = ("--source", (fat / "nowhere").as_uri())
    assert run_registry(fat, "init", *SETTINGS, *nowhere).refused("nowhere", "git ls-remote")
    assert copies.files(fat) == before


def test_a_copy_with_edits_before_it_is_set_up_is_known_by_its_first_commit(
    template: Path, fat: Path, run_registry: Run
) -> None:
    (fat / "notes.txt").touch()
    repositories.commit(fat, "notes")
    assert run_registry(fat, "init", *SETTINGS, "--source", template.as_uri()).code == 0
    assert recorded(fat) == pin(template, "v1.0.0")


def test_a_vendored_copy_keeps_the_code_and_can_be_upgraded(template: Path, fat: Path, run_registry: Run) -> None:
    done = run_registry(fat, "init", *SETTINGS, "--source", template.as_uri(), "--vendored")
    assert done.code == 0, done.err
    assert (fat / "scripts/registry/cli/main.py").is_file()
    edit(fat / "Makefile", "PYTHON ?= python3\n", "PYTHON ?= python3.12\n")
    repositories.commit(fat, "our registry, with its code")
    done = run_registry(fat, "upgrade")
    assert done.code == 0, done.out + done.err
    assert 'version = "1.1.0"' in (fat / "pyproject.toml").read_text()
    assert "PYTHON ?= python3.12\n" in (fat / "Makefile").read_text()
    assert recorded(fat) == pin(template, "v1.1.0")
    assert not (fat / "datasets/cats_dogs").exists()


# --- upgrades ---------------------------------------------------------------------------------------------------------


def test_an_upgrade_keeps_edits_and_conflicts_in_nothing_that_was_not_edited(
    template: Path, thin: Path, run_registry: Run
) -> None:
    edit(thin / PUBLISH, "timeout-minutes: ", "timeout-minutes: 1 #")
    edit(thin / MAKEFILE, "PYTHON ?= python3\n", "PYTHON ?= python3.12\n")
    (thin / "README.md").write_text("ours\n")
    repositories.dataset(thin, "pets", repositories.PETS, "1.0.0")
    repositories.commit(thin, "ours")
    ours = copies.files(thin)
    planned = run_registry(thin, "upgrade", "--dry-run")
    assert copies.files(thin) == ours
    done = run_registry(thin, "upgrade")
    assert done.code == 0, done.err
    assert done.out.startswith(planned.out)
    assert (
        "what is new (CHANGELOG.md of the template):\n- **Nights**: the nightly workflow has\n  another name.\n"
        in done.out
    )
    now = copies.files(thin)
    assert b"name: Publish versions\n" in now[PUBLISH]
    assert b"timeout-minutes: 1 #" in now[PUBLISH]
    assert b"## Show the commands." in now[MAKEFILE]
    assert b"PYTHON ?= python3.12\n" in now[MAKEFILE]
    assert ".github/workflows/assign.yml" not in now
    assert now["infra/more.yaml"] == b"-more: true\n"
    assert recorded(thin) == pin(template, "v1.1.0")
    moved = {PUBLISH, NIGHTLY, MAKEFILE, "registry.yaml", "infra/more.yaml", ".github/workflows/assign.yml"}
    assert {path for path in ours.keys() | now.keys() if ours.get(path) != now.get(path)} == moved
    fresh = copy.plan(Revision(template, "v1.1.0"), copies.ANSWERS, pin(template, "v1.1.0"))
    assert now[NIGHTLY][1:] == fresh.files[NIGHTLY]
    repositories.commit(thin, "1.1.0")
    assert "nothing to do" in run_registry(thin, "upgrade").out


def test_a_conflict_is_marked_and_named_with_what_the_template_changed(thin: Path, run_registry: Run) -> None:
    edit(thin / NIGHTLY, "name: Nightly checks\n", "name: Nachts\n")
    (thin / ".github/workflows/assign.yml").write_text("name: ours\n")
    repositories.commit(thin, "our words")
    done = run_registry(thin, "upgrade")
    assert done.code == 1
    assert f"{NIGHTLY} was changed here and in the template:\n  Better names\n" in done.out
    assert "hint: resolve the conflicts in 2 files" in done.out
    assert (
        "<<<<<<< merge/HERE\nname: Nachts\n=======\nname: Every night\n>>>>>>> merge/template-1.1.0\n"
        in (thin / NIGHTLY).read_text()
    )
    assert (thin / ".github/workflows/assign.yml").read_text() == "name: ours\n"


def test_an_upgrade_needs_a_clean_tree_a_release_and_a_commit_to_start_from(
    template: Path, thin: Path, run_registry: Run
) -> None:
    (thin / "new.txt").touch()
    assert run_registry(thin, "upgrade").refused("uncommitted changes: new.txt")
    (thin / "new.txt").unlink()
    assert run_registry(thin, "upgrade", "--to", "9.0.0").refused("no commit or release 9.0.0")
    file = thin / "registry.yaml"
    file.write_text(file.read_text().partition("template:")[0])
    repositories.commit(thin, "no pin")
    assert run_registry(thin, "upgrade").refused("has no template:", "--from COMMIT --source URL")
    start = ("--from", pin(template, "v1.0.0").commit, "--source", template.as_uri())
    assert run_registry(thin, "upgrade", *start, "--to", "1.1.0").code == 0
    assert recorded(thin) == pin(template, "v1.1.0")


EDITS = {
    PUBLISH: ("timeout-minutes: ", "timeout-minutes: 1 #"),
    MAKEFILE: ("PYTHON ?= python3\n", "PYTHON ?= python3.12\n"),
    "README.md": ("## Use a version\n", "## How to use a version\n"),
    "datasets/pets/dataset.yaml": ("title: Pets at home", "title: Our pets"),
}


def edited(root: Path) -> Path:
    """The copy with a dataset, and edits in a workflow, the Makefile, the README and a manifest."""
    repositories.dataset(root, "pets", repositories.PETS, "1.0.0")
    for path, (old, new) in EDITS.items():
        edit(root / path, old, new)
    repositories.registry(root, "check", "--fix", "--all")
    repositories.commit(root, "ours")
    return root


def require_upgraded(root: Path, before: dict[str, bytes]) -> None:
    """No conflict in a file that was not edited, every edit kept, every check passed."""
    now = copies.files(root)
    assert [path for path, data in now.items() if b"<<<<<<<" in data] == []
    assert {path for path, (_, new) in EDITS.items() if new.encode() not in now[path]} == set()
    assert {path for path in before if path.startswith("datasets/") and before[path] != now[path]} == set()
    repositories.commit(root, "upgraded")
    checked = repositories.registry(root, "check", "--all")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
def test_a_copy_that_is_100_commits_behind_keeps_its_edits(template: Path, thin: Path, run_registry: Run) -> None:
    root = edited(thin)
    newer = thin.parent / "newer"
    git_in(thin.parent, "clone", "--quiet", str(template), str(newer))
    files = [path for path in skeleton.read_table(WorkTree(newer)).owned if path.endswith((".yml", "ignore", MAKEFILE))]
    for number in range(100):
        path = skeleton.source_of(WorkTree(newer), files[number % len(files)])
        with (newer / path).open("a") as file:
            file.write(f"# {number}\n")
        git_in(newer, "commit", "--quiet", "--no-verify", "--all", "--message", f"Change {number}")
    before = copies.files(root)
    done = run_registry(root, "upgrade", "--source", newer.as_uri(), "--to", "main")
    assert done.code == 0, done.out + done.err
    require_upgraded(root, before)
    assert b"# 99\n" in copies.files(root)[files[99 % len(files)]]


@pytest.mark.slow
def test_a_copy_of_the_last_release_is_brought_to_this_commit(tmp_path: Path, run_registry: Run) -> None:
    """Of the first commit with a skeleton, where this clone has no release yet."""
    here = tmp_path / "template.git"
    git_in(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(here))
    git_in(
        here, "fetch", "--quiet", "--update-shallow", str(ROOT), "+HEAD:refs/heads/main", "+refs/tags/v*:refs/tags/v*"
    )
    released = [*template_repository.releases(here).values()]
    added = git_in(here, "log", "--format=%H", "--diff-filter=A", "main", "--", skeleton.TABLE).splitlines()
    old = template_repository.read(here, released[-1] if released else added[-1])
    made = copies.make(tmp_path / "copy", Revision(here, old.id), Template(here.as_uri(), old.version, old.id))
    root = edited(made)
    before = copies.files(root)
    done = run_registry(root, "upgrade", "--to", "main")
    assert done.code == 0, done.out + done.err
    require_upgraded(root, before)


# --- on GitHub --------------------------------------------------------------------------------------------------------


def test_github_knows_the_template_of_a_repository(
    template: Path, fat: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"repos/acme/data": {"template_repository": {"clone_url": template.as_uri()}}}
    monkeypatch.setattr(github, "connect", lambda _: github.Repository("github.com", "acme", "data"))
    monkeypatch.setattr(github, "get", lambda _, path: answers[path])
    assert run_registry(fat, "init", *SETTINGS, "--dry-run").code == 0
    answers["repos/acme/data"] = {"template_repository": None}
    assert run_registry(fat, "init", *SETTINGS).refused("is not known")


@pytest.fixture
def hub(thin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub that has the copy."""
    repositories.add_origin(thin)
    git_in(thin, "push", "--quiet", "--set-upstream", "origin", "main")
    with serve(GitHub(origin=thin.parent / "origin.git")) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def test_an_upgrade_is_proposed(hub: GitHub, thin: Path, run_registry: Run) -> None:
    edit(thin / NIGHTLY, "name: Nightly checks\n", "name: Nachts\n")
    edit(thin / "scripts/hook", "#!/bin/sh\n", "#!/bin/sh\n# ours\n")
    repositories.commit(thin, "our words")
    git_in(thin, "push", "--quiet", "origin", "main")
    done = run_registry(thin, "upgrade", "--propose")
    assert done.code == 0, done.err
    [pull] = hub.pulls
    assert (pull["head"]["ref"], pull["title"].partition(" (")[0]) == ("upgrade", "Upgrade the template to 1.1.0")
    assert NEWS in pull["body"]
    assert f"Resolve their conflicts:**\n\n- `{NIGHTLY}`\n" in pull["body"]
    origin = thin.parent / "origin.git"
    assert git_in(origin, "rev-parse", "upgrade^") == git_in(thin, "rev-parse", "HEAD")
    assert git_in(origin, "ls-tree", "upgrade", "scripts/hook").startswith("100755")
    assert git_in(thin, "status", "--short") == ""


def test_a_token_that_may_not_change_workflows_is_told(hub: GitHub, thin: Path, run_registry: Run) -> None:
    hook = thin.parent / "origin.git/hooks/pre-receive"
    refusal = "refusing to allow a GitHub App to create or update workflow `x.yml` without `workflows` permission"
    hook.write_text(f"#!/bin/sh\necho '{refusal}'\nexit 1\n")
    hook.chmod(0o755)
    assert run_registry(thin, "upgrade", "--propose").refused("GitHub refuses", "UPGRADE_TOKEN")
    assert hub.pulls == []
