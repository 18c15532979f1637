"""Every printed next step is run here, in the state in which it is printed; or a reason says why it is not."""

import io
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from PIL import Image

from support import adoption, hint_states, hints, repositories, selections
from support.hints import Hint
from support.hints_not_run import NOT_RUN
from support.repositories import Run, git_in

pytestmark = pytest.mark.slow

CAT = repositories.md5(b"one cat")
PETS = "datasets/pets"


@dataclass(frozen=True)
class Case:
    """A command that prints hints in some state. Afterwards the same command succeeds and prints none.

    `prepare` changes the fixture `state` and gives the folder of the command; `elsewhere` is where its hints are run,
    if not there. `succeeds` for a hint that follows a success: then the command is not run again.
    """

    name: str
    state: str
    command: str
    covers: tuple[Hint, ...]
    prepare: Callable[[Path], Path] = hint_states.unchanged
    elsewhere: Callable[[Path], Path] | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    succeeds: bool = False


# --- the table --------------------------------------------------------------------------------------------------------

CASES = (
    Case("no artifact to list", "registry_repo", "list",
         (Hint("cli/commands/list.py", "registry new"),), values={"NAME": "garden"}),
    Case("no artifact to publish", "registry_repo", "publish",
         (Hint("release/publish.py", "registry new"),), values={"NAME": "garden"}, succeeds=True),
    Case("set up", "registry_repo", "init --name acme --owner @acme/data --bucket .registry --lake .registry/lake",
         (Hint("cli/commands/init.py", "git diff"), Hint("cli/commands/init.py", "registry new")),
         values={"NAME": "garden"}, succeeds=True),
    Case("compare before the first commit", "built_dataset", "diff",
         (Hint("integrations/git.py", "git add"), Hint("integrations/git.py", "git commit")),
         hint_states.without_a_commit),
    Case("nothing in the cache", "built_model", "checkout",
         (Hint("cli/commands/checkout.py", "registry pull"),), hint_states.without_cache),
    Case("a damaged object in the cache", "merged_model", "checkout",
         (Hint("cli/commands/checkout.py", "registry pull"),), hint_states.with_a_damaged_cache),
    Case("damage found by fsck", "merged_model", "fsck --cache",
         (Hint("cli/commands/fsck.py", "registry fsck"),), hint_states.with_a_damaged_cache,
         values={"FROM": "staging"}),
    Case("files that were changed by hand", "built_model", "pull",
         (Hint("sync/checkout.py", "registry pull"),), hint_states.with_changed_files),
    Case("publish on a branch", "merged_model", "publish", (Hint("release/due_versions.py", "git switch"),),
         hint_states.on_a_merged_branch),
    Case("publish what is not pushed", "merged_model", "publish", (Hint("release/due_versions.py", "git push"),),
         hint_states.ahead_of_origin),
    Case("publish in a shallow clone", "merged_model", "publish", (Hint("release/due_versions.py", "git fetch"),),
         hint_states.shallow),
    Case("publish over a lightweight tag", "merged_model", "publish",
         (Hint("release/due_versions.py", "git tag"), Hint("release/due_versions.py", "git push")),
         hint_states.with_a_lightweight_tag),
    Case("publish over a tag of a branch", "merged_model", "publish", (Hint("release/due_versions.py", "git tag"),),
         hint_states.with_a_tag_of_a_branch),
    Case("publish over a tag of other data", "merged_model", "publish datasets/pets",
         (Hint("release/due_versions.py", "git tag"),), hint_states.with_a_tag_of_other_data),
    Case("publish without objects", "merged_model", "publish", (Hint("release/publish.py", "registry push"),),
         hint_states.with_empty_staging),
    Case("publish a corrupt object", "merged_model", "publish", (Hint("sync/inventory.py", "registry push"),),
         hint_states.with_a_corrupt_object_in_staging),
    Case("publish without an identity", "merged_model", "publish", (Hint("integrations/git.py", "git config"),),
         hint_states.without_an_identity, values={"YOU": "Ana", "YOU@EXAMPLE.COM": "ana@example.com"}),
    Case("withdraw", "released_model", "withdraw datasets/pets 1.0.0 --why bad",
         tuple(Hint("cli/commands/withdraw.py", f"git {name}") for name in ("switch", "add", "commit", "push")),
         succeeds=True),
    Case("withdraw without tags", "released_model", "withdraw datasets/pets 1.0.0 --why bad --dry-run",
         (Hint("release/withdraw.py", "git fetch"),), hint_states.without_tags),
    Case("a tag that is not here", "released_model", "pull --rev datasets/pets@v1.0.0",
         (Hint("integrations/git.py", "git fetch"),), hint_states.without_tags),
    Case("a tag that a shallow clone has not", "released_model", "pull --rev datasets/pets@v1.0.0",
         (Hint("integrations/git.py", "git fetch"),), hint_states.shallow_without_tags),
    Case("pull what was not pushed", "merged_model", "pull", (Hint("sync/pull.py", "registry push"),),
         hint_states.other_clone_of_unpushed, elsewhere=lambda folder: folder.parent / "registry"),
    Case("production lacks an object", "released_model", "fsck", (Hint("release/fsck_output.py", "registry fsck"),),
         hint_states.with_an_incomplete_production, values={"FROM": "staging"}),
    Case("refresh with changes", "registry_repo", "refresh datasets/pets --propose",
         (Hint("cli/proposing.py", "git stash"),), hint_states.with_uncommitted_changes, succeeds=True),
    Case("derived files out of date", "registry_repo", "check", (Hint("checks/rules/repository.py", "registry check"),),
         hint_states.with_outdated_files),
    Case("CRLF in the working tree", "built_model", "check",
         (Hint("checks/rules/conversions.py", "registry check"),), hint_states.with_crlf),
    Case("a query without its result", "built_dataset", "check",
         (Hint("checks/rules/datasets.py", "registry select"),), hint_states.with_another_query,
         values={"FILE": "export.csv"}),
    Case("data in Git", "registry_repo", "check", (Hint("checks/rules/files.py", "git rm"),),
         hint_states.with_a_tracked_raw_folder),
    Case("a folder that was added by hand", "registry_repo", "check",
         (Hint("checks/by_hand.py", "registry adopt"),), hint_states.with_a_folder_added_by_hand,
         succeeds=True),
    Case("data that another branch left", "registry_repo", "check",
         (Hint("checks/rules/files.py", "registry checkout"),), hint_states.after_leaving_a_branch),
    Case("checks in a shallow clone", "registry_repo", "check", (Hint("checks/rules/manifests.py", "git fetch"),),
         hint_states.shallow_in_order),
    Case("no such dataset", "registry_repo", "pull datasets/garden",
         (Hint("core/manifests.py", "registry new"), Hint("core/manifests.py", "registry list"))),
    Case("a model without its dataset", "registry_repo", "new model garden",
         (Hint("scaffold/new.py", "registry new"),), succeeds=True),
    Case("a model from elsewhere without its dataset", "registry_repo",
         "new model garden --from garden.onnx --origin https://example.com/garden",
         (Hint("scaffold/external.py", "registry new"),), succeeds=True),
    Case("a diff of no dataset", "built_dataset", "diff datasets/garden",
         (Hint("dataset/diff.py", "registry list"),), succeeds=True),
    Case("gc in a shallow clone", "merged_model", "gc --plan",
         (Hint("sync/references.py", "git fetch"),), hint_states.shallow),
)  # fmt: skip


@pytest.fixture
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home that a case may change."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(Path(os.environ["HOME"], ".gitconfig"), home)
    monkeypatch.setenv("HOME", str(home))


@pytest.mark.usefixtures("_own_home")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_next_step_works_where_it_is_printed(case: Case, request: pytest.FixtureRequest, run_registry: Run) -> None:
    folder, ran = case.prepare(request.getfixturevalue(case.state)), []
    for _ in range(4):  # one next step may lead to another
        done = run_registry(folder, *case.command.split())
        commands = hints.in_output(done.out + done.err)
        if not commands:
            break
        for command in commands:
            hints.run(case.elsewhere(folder) if case.elsewhere else folder, command, case.values, run_registry)
        ran += commands
        if case.succeeds:
            break
    else:
        pytest.fail(f"each next step leads to another: {ran}")
    assert [hint for hint in case.covers if not any(line.startswith(hint.command) for line in ran)] == []
    assert case.succeeds or done.code == 0, done.out + done.err


# --- the contributor's path -------------------------------------------------------------------------------------------


def jpeg(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 9)).save(out, "JPEG", comment=b"%d" % number)
    return out.getvalue()


def test_each_command_of_a_contributor_prints_the_next(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    rows = selections.rows(40)
    for number, row in enumerate(rows):
        (registry_repo / ".registry/lake").mkdir(parents=True, exist_ok=True)
        (registry_repo / f".registry/lake/{row['images.uuid']}.jpg").write_bytes(jpeg(number))
    (registry_repo / f".registry/lake/{rows[0]['images.uuid']}.jpg").write_bytes(b"")
    export = selections.write_csv(tmp_path / "export.csv", rows)

    done = run_registry(registry_repo, "new", "dataset", "photos")
    [select] = hints.in_output(done.out)
    assert select == "registry select datasets/photos"
    manifest = yaml.safe_load(selections.text({"export": {"description": "by hand", "timezone": "UTC"}}))
    repositories.write(registry_repo / "datasets/photos/dataset.yaml", manifest)
    done = run_registry(registry_repo, *select.split()[1:])
    [from_export] = hints.in_output(done.err)
    assert from_export == f"{select} --from FILE"
    done = run_registry(registry_repo, *from_export.replace("FILE", str(export)).split()[1:])
    [build] = hints.in_output(done.out)
    done = run_registry(registry_repo, *build.split()[1:])
    [exclude] = hints.in_output(done.err)
    assert exclude == f"{build} --exclude-faulty"
    done = run_registry(registry_repo, *exclude.split()[1:])
    assert done.code == 0, done.out + done.err
    pull, add, commit = hints.in_output(done.out)
    for command in (pull, add, commit):
        hints.run(registry_repo, command, {}, run_registry)
    assert len(list(registry_repo.glob("datasets/photos/prepared/*/*/*.jpg"))) == 39
    assert git_in(registry_repo, "status", "--short", "datasets") == ""


def test_what_was_adopted_is_pulled_and_committed(registry_repo: Path, run_registry: Run, tmp_path: Path) -> None:
    photos = str(adoption.fill(tmp_path / "photos", adoption.PETS))
    done = run_registry(registry_repo, "adopt", PETS, "--from", photos)
    path = registry_repo / PETS / "dataset.yaml"
    assert f"fill in the <placeholders> in {PETS}/dataset.yaml, then" in done.out
    filled = re.sub("^description: .*", "description: Cats and dogs.", path.read_text(), flags=re.MULTILINE)
    path.write_text(re.sub("^license: .*", "license: CC-BY-4.0", filled, flags=re.MULTILINE))
    for command in hints.in_output(done.out):
        hints.run(registry_repo, command, {}, run_registry)
    assert len(list(registry_repo.glob(f"{PETS}/prepared/*/*/*.jpg"))) == len(adoption.PETS)
    assert git_in(registry_repo, "status", "--short") == ""
    assert run_registry(registry_repo, "check", "--all").code == 0


PATH = {
    Hint("cli/commands/adopt.py", "registry check"),
    Hint("cli/commands/new.py", "registry select"),
    Hint("dataset/select.py", "registry select"),
    Hint("cli/commands/select.py", "registry build"),
    Hint("dataset/build.py", "registry build"),
    Hint("cli/commands/build.py", "registry pull"),
    Hint("cli/commands/build.py", "git add"),
    Hint("cli/commands/build.py", "git commit"),
    Hint("cli/commands/adopt.py", "registry pull"),
    Hint("cli/commands/adopt.py", "git add"),
    Hint("cli/commands/adopt.py", "git commit"),
}


def test_the_steps_for_an_administrator(released_model: Path, run_registry: Run) -> None:
    """A corrupt object: the copy is named first, then the command that deletes the object."""
    hint_states.with_a_corrupt_object(released_model)
    done = run_registry(released_model, "fsck")
    [advice] = [line for line in done.out.splitlines() if line.startswith("  # rm -f ")]
    [find_copy] = hints.PRINTED.findall(advice.removesuffix(")"))
    done = run_registry(released_model, *find_copy.replace("FROM", "staging").split()[1:])
    [remove] = [line.strip() for line in done.out.splitlines() if line.startswith("  rm -f ")]
    assert repositories.sh(released_model, "sh", "-c", remove).returncode == 0
    [repair] = hints.in_output(done.out)
    hints.run(released_model, repair, {}, run_registry)
    assert run_registry(released_model, "fsck", "--deep").code == 0


def test_a_version_whose_tag_is_invalid_is_withdrawn(released_model: Path, run_registry: Run) -> None:
    hint_states.with_an_invalid_tag(released_model)
    done = run_registry(released_model, "fsck")
    withdraw = hints.in_output(done.out)[-1]
    hints.run(released_model, withdraw, {"ID": PETS, "VERSION": "1.1.0", "TEXT": "broken"}, run_registry)


TESTED = {hint for case in CASES for hint in case.covers} | PATH | {Hint("release/fsck_output.py", "registry withdraw")}


def test_every_next_step_in_the_source_is_run_or_has_a_reason() -> None:
    known = hints.in_source()
    unknown = [
        f"{hint.module}:{line}: {hint.command}" for hint, line in known.items() if hint not in TESTED | NOT_RUN.keys()
    ]
    assert unknown == [], "add a case here, or a reason to tests/support/hints_not_run.py"
    assert sorted((TESTED | NOT_RUN.keys()) - known.keys()) == [], "no longer printed"
    assert sorted(TESTED & NOT_RUN.keys()) == []
