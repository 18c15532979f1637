"""The table, its runner, and `registry check` as a person types it."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from registry.checks import output, runner
from registry.checks.context import Scope
from registry.checks.table import CHECKS, ArtifactCheck, FilesCheck, RegistryCheck
from registry.core.check_names import CheckName
from registry.core.digests import object_key
from registry.core.values import Verdict
from registry.integrations import git
from support import memory_registries, repositories
from support.memory_registries import images
from support.repositories import Run

PETS, MODEL = "datasets/pets", "models/pets"


# --- the table --------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_required_checks_come_first() -> None:
    names = [one.name for one in CHECKS]
    assert sorted(names) == sorted(CheckName)
    for place, one in enumerate(CHECKS):
        assert set(one.requires if isinstance(one, ArtifactCheck | RegistryCheck) else ()) <= set(names[:place])


def test_every_check_runs_once_for_the_registry_or_for_each_of_its_artifacts() -> None:
    facts = memory_registries.sound().gather(Scope.ALL)
    outcomes = runner.run(facts)
    expected = [(one.name, None) for one in CHECKS if isinstance(one, RegistryCheck) and one.applies(facts)]
    expected += [
        (one.name, kind)
        for one in CHECKS
        if isinstance(one, FilesCheck) or (isinstance(one, ArtifactCheck) and one.applies(facts))
        for kind in one.kinds
    ]
    assert [(outcome.check, outcome.artifact and outcome.artifact.kind) for outcome in outcomes] == expected
    assert output.worst(outcomes) is Verdict.OK


def test_what_depends_on_something_wrong_does_not_run_and_says_why() -> None:
    registry = memory_registries.sound()
    registry.files[f"{PETS}/raw.dvc"] = b"outs: ["
    outcomes = {outcome.check: outcome for outcome in runner.run(registry.gather()) if str(outcome.artifact) == PETS}
    assert [name for name, outcome in outcomes.items() if outcome.verdict is Verdict.WRONG] == ["pointers"]
    assert outcomes["build"].not_run == "requires pointers to pass"
    assert outcomes["classes"].not_run == "requires pointers to pass"
    assert outcomes["expectations"].not_run == "requires pointers to pass"
    assert outcomes["manifest"].not_run == ""


def test_findings_are_named_for_their_check_and_their_artifact() -> None:
    registry = memory_registries.sound()
    registry.files[f"{MODEL}/x.bin"] = b"\0"
    registry.files["x.bin"] = b"\0"
    found = registry.check(Scope.ALL)
    assert [(one.check, one.artifact and str(one.artifact)) for one in found] == [
        ("large-files", MODEL),
        ("large-files", None),
    ]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def sound(registry_repo: Path) -> Path:
    """A registry on disk in which everything is sound, committed and released."""
    memory_registries.put_on_disk(memory_registries.sound(**memory_registries.REPRODUCIBLE), registry_repo)
    repositories.commit(registry_repo, "sound")
    for tag in (f"{PETS}@v1.0.0", f"{MODEL}@v1.0.0"):
        git.create_tag(registry_repo, tag, "HEAD", tag)
    return registry_repo


@pytest.fixture
def grown(sound: Path) -> Path:
    """`sound`, with two more cats built and the version left at 1.0.0; nothing of it is staged."""
    registry = memory_registries.sound(**memory_registries.REPRODUCIBLE)
    memory_registries.build(registry, "pets", images(12))
    registry.derive()
    memory_registries.put_on_disk(registry, sound)
    return sound


@pytest.mark.parametrize("options", [[], ["--all"], ["--staged"], ["--base", "HEAD"]], ids=" ".join)
def test_what_is_sound_passes(sound: Path, run_registry: Run, options: list[str]) -> None:
    done = run_registry(sound, "check", *options)
    assert (done.code, done.err) == (0, "")
    assert "checks passed\n" in done.out


def test_what_is_wrong_is_exit_code_1_with_its_line_and_the_next_step(grown: Path, run_registry: Run) -> None:
    done = run_registry(grown, "check", "--base", "HEAD")
    assert done.code == 1
    assert done.out.startswith(
        "datasets/pets/dataset.yaml:3: wrong: version is 1.0.0, expected at least 1.1.0: 2 images were added "
        "(an addition is minor) [version]\n"
        "  hint: set version: 1.1.0\n"
        "models/pets/dvc.lock: needs an owner: changed since the training: datasets/pets/prepared [training]\n"
    )


def test_a_finding_that_needs_an_owner_is_printed_and_passes(sound: Path, run_registry: Run) -> None:
    config = sound / ".dvc/config"
    config.write_text(config.read_text().replace("../.registry/production", "s3://elsewhere"))
    done = run_registry(sound, "check", "--base", "HEAD")
    assert done.code == 0
    assert (
        ".dvc/config: needs an owner: the remote production now points to a different location [storage-locations]"
        in done.out
    )


def test_a_commit_is_judged_by_what_is_staged_alone(grown: Path, run_registry: Run) -> None:
    assert run_registry(grown, "check", "--staged").code == 0
    repositories.git_in(grown, "add", f"{PETS}/prepared.dvc")
    done = run_registry(grown, "check", "--staged")
    assert done.code == 1
    assert "wrong: built from the selection " in done.out
    repositories.git_in(grown, "add", f"{PETS}/raw.dvc")
    assert "expected at least 1.1.0: 2 images were added" in run_registry(grown, "check", "--staged").out


def test_fix_writes_what_follows_from_the_manifests_and_says_so(sound: Path, run_registry: Run) -> None:
    manifest = sound / PETS / "dataset.yaml"
    manifest.write_text(manifest.read_text().replace("@acme/vision", "@ana").replace("1.0.0", "1.0.1"))
    assert run_registry(sound, "check").code == 1
    done = run_registry(sound, "check", "--fix")
    assert (done.code, done.err) == (0, "wrote CODEOWNERS\nwrote README.md\nwrote models/pets/README.md\n")
    assert "/datasets/pets/ @ana\n" in (sound / "CODEOWNERS").read_text()
    assert run_registry(sound, "check", "--fix").err == ""


def test_fix_replaces_a_link_and_does_not_write_through_it(sound: Path, run_registry: Run, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (sound / "CODEOWNERS").unlink()
    (sound / "CODEOWNERS").symlink_to(victim)
    assert "wrote CODEOWNERS" in run_registry(sound, "check", "--fix").err
    assert victim.read_text() == "precious"
    assert not (sound / "CODEOWNERS").is_symlink()


def test_the_three_formats_say_the_same(grown: Path, run_registry: Run) -> None:
    text, github, data = (run_registry(grown, "check", "--format", form).out for form in ("text", "github", "json"))
    found = json.loads(data)["findings"]
    assert [finding["check"] for finding in found] == ["version", "training"]
    for finding in found:
        assert finding["message"] in text
        assert finding["message"] in github
    assert "::error file=datasets/pets/dataset.yaml,line=3,title=registry check%3A version::" in github


def test_verbose_tells_what_comes_next(sound: Path, run_registry: Run) -> None:
    repositories.git_in(sound, "tag", "--delete", f"{PETS}@v1.0.0", f"{MODEL}@v1.0.0")
    (sound / PETS / "prepared.dvc").unlink()
    assert "registry build datasets/pets" not in run_registry(sound, "check").out
    done = run_registry(sound, "check", "--verbose")
    assert "datasets/pets/dataset.yaml: ok: not built yet [build]\n  hint: registry build datasets/pets\n" in done.out


def test_objects_are_looked_for_in_the_cache_then_in_staging_then_in_production(grown: Path, run_registry: Run) -> None:
    for store in ("staging", "production"):
        (grown / ".registry" / store).mkdir(parents=True)
        (grown / ".dvc/cache/files").rename(grown / ".registry" / store / "files")
        assert "2 images were added" in run_registry(grown, "check").out
        (grown / ".dvc/cache").mkdir(exist_ok=True)
        (grown / ".registry" / store / "files").rename(grown / ".dvc/cache/files")
    shutil.rmtree(grown / ".dvc/cache/files")
    done = run_registry(grown, "check")
    assert (
        "no intact copy in DVC's cache, staging or production [items]\n  hint: registry pull datasets/pets" in done.out
    )


def test_a_list_that_is_corrupt_in_the_cache_is_taken_from_staging(grown: Path, run_registry: Run) -> None:
    shutil.copytree(grown / ".dvc/cache/files", grown / ".registry/staging/files")
    for path in (grown / ".dvc/cache/files").rglob("*.dir"):
        path.write_bytes(b"[]")
    assert "2 images were added" in run_registry(grown, "check").out
    shutil.rmtree(grown / ".registry/staging")
    done = run_registry(grown, "check")
    assert "no intact copy in DVC's cache, staging or production [items]" in done.out
    assert "warning: " in done.err
    assert ".dir: checksum mismatch: content does not match its MD5" in done.err


def test_a_shallow_clone_without_tags_says_what_it_cannot_judge(grown: Path, run_registry: Run, tmp_path: Path) -> None:
    repositories.commit(grown, "grown")
    repositories.git_in(tmp_path, "clone", "--quiet", "--depth", "1", "--no-tags", f"file://{grown}", "shallow")
    done = run_registry(tmp_path / "shallow", "check")
    assert (
        "earlier releases are unknown: this clone is shallow [version]\n  hint: git fetch --unshallow --tags"
        in done.out
    )
    assert run_registry(tmp_path / "shallow", "check", "--base", "HEAD~1").code == 1


def test_explain_prints_what_a_check_is_documented_as(run_registry: Run, tmp_path: Path) -> None:
    done = run_registry(tmp_path, "check", "--explain", "splits")
    assert (done.code, done.out.splitlines()[0]) == (0, "splits")
    assert "name one of settings" in run_registry(tmp_path, "check", "--explain", "nope").err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--base", "nope"], "'nope' is not a revision of this repository"),
        (["--staged", "--all"], "choose one of --staged, --base and --all"),
        (["--format", "xml"], "'xml' is not one of"),
    ],
    ids=["revision", "scopes", "format"],
)
def test_what_cannot_be_done_is_said(sound: Path, run_registry: Run, options: list[str], words: str) -> None:
    done = run_registry(sound, "check", *options)
    assert done.code != 0
    assert words in done.err


def test_the_first_commit_of_a_registry(tmp_path: Path, run_registry: Run) -> None:
    memory_registries.put_on_disk(memory_registries.sound(**memory_registries.REPRODUCIBLE), tmp_path)
    repositories.git_in(tmp_path, "init", "--quiet")
    repositories.git_in(tmp_path, "add", "--all")
    assert run_registry(tmp_path, "check", "--staged").code == 0


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (f"{PETS}/dataset.yaml", "Cats and dogs.", "Dogs and cats."),
        ("models/pets/model.yaml", "Apache-2.0", "MIT"),
    ],
)
def test_a_commit_of_a_manifest_loads_no_heavy_library(sound: Path, path: str, before: str, after: str) -> None:
    text = (sound / path).read_text()
    assert before in text
    (sound / path).write_text(text.replace(before, after).replace("1.0.0", "1.0.1"))
    repositories.registry(sound, "check", "--fix")
    repositories.git_in(sound, "add", "--all")
    heavy = {"polars", "obstore", "dvc", "torch", "PIL", "ruamel", "numpy", "tqdm", "tabulate", "onnx", "onnxruntime"}
    program = (
        "import sys; from registry.cli import main; code = main.run(['check', '--staged']); "
        f"print(code, *{heavy} & set(sys.modules))"
    )
    assert repositories.sh(sound, sys.executable, "-c", program).stdout.splitlines()[-1] == "0"


# --- images -----------------------------------------------------------------------------------------------------------


def picture(color: int) -> bytes:
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.new("L", (8, 8), color).save(out, "JPEG")
    return out.getvalue()


def test_images_are_looked_at_once(registry_repo: Path, run_registry: Run) -> None:
    registry = memory_registries.Registry()
    pictures = {path: picture(number) for number, path in enumerate(images())}
    bad, lost, swapped = sorted(pictures)[:3]
    memory_registries.put_dataset(
        registry, pictures=pictures | {bad: pictures[bad][:200]}, **memory_registries.REPRODUCIBLE
    )
    registry.derive()
    memory_registries.put_on_disk(registry, registry_repo)
    stored = {path: registry_repo / ".dvc/cache" / object_key(repositories.md5(pictures[path])) for path in pictures}
    stored[lost].unlink()
    stored[swapped].write_bytes(b"other bytes")
    assert run_registry(registry_repo, "check").code == 0
    done = run_registry(registry_repo, "check", "--images")
    assert done.code == 1
    assert "datasets/pets/prepared.dvc: wrong: 3 images failed validation: " in done.out
    assert f"{bad}: unreadable" in done.out or f"{bad}: truncated" in done.out
    assert f"{lost}: no intact copy" in done.out
    assert f"{swapped}: no intact copy" in done.out
    assert f"warning: {stored[swapped]}: checksum mismatch" in done.err
    for path in set(pictures) - {bad, lost, swapped}:
        stored[path].unlink()  # they are known now, and not read again
    assert "3 images failed validation" in run_registry(registry_repo, "check", "--images").out


def test_a_check_that_was_not_asked_for_is_not_reported_as_passed(registry_repo: Path, run_registry: Run) -> None:
    registry = memory_registries.Registry()
    memory_registries.put_dataset(registry, pictures={path: picture(number) for number, path in enumerate(images())})
    registry.derive()
    memory_registries.put_on_disk(registry, registry_repo)
    unasked, asked = (
        run_registry(registry_repo, "check", "--format", "json", *more).out for more in ((), ("--images",))
    )
    assert '"check": "images"' not in unasked
    assert '"check": "images"' in asked
