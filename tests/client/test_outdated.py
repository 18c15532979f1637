"""`registry outdated`, and Renovate's manager of docs/renovate.json: on the .dvc files that `dvc import` writes."""

import json
import re
from pathlib import Path

import pytest
from dvc.cli import main as dvc_main

from support import repositories
from support.repositories import Run, git_in

ROOT = Path(__file__).parents[2]
DOG = "train/dog/0a8c7f6e-0000-4000-8000-000000000003.jpg"
PREPARED, MODEL = "datasets/pets/prepared", "models/pets/model.onnx"


@pytest.fixture
def consumer(released_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that imports `datasets/pets@v1.0.0` into `data` and `models/pets@v1.0.0`."""
    folder = tmp_path / "consumer"
    (folder / "data").mkdir(parents=True)
    git_in(folder, "init", "--quiet")
    monkeypatch.chdir(folder)
    assert dvc_main(["init", "--quiet"]) == 0
    for path, name, out in ((PREPARED, "datasets", "data/pets"), (MODEL, "models", "pets.onnx")):
        tag = f"{name}/pets@v1.0.0"
        assert dvc_main(["import", "--quiet", str(released_model), path, "--rev", tag, "--out", out]) == 0
    return folder


@pytest.fixture
def newer(released_model: Path, run_registry: Run) -> Path:
    """The registry after `datasets/pets@v1.1.0` and `datasets/pets@v2.0.0` were released; 1.1.0 is withdrawn."""
    for version, images in (("1.1.0", repositories.MORE_PETS), ("2.0.0", {**repositories.PETS, DOG: b"another dog"})):
        repositories.dataset(released_model, "pets", images, version)
        repositories.merge(released_model, f"datasets/pets {version}")
        assert run_registry(released_model, "publish").code == 0
    assert run_registry(released_model, "withdraw", "datasets/pets", "v1.1.0", "--why", "labels swapped").code == 0
    repositories.merge(released_model, "withdraw")
    return released_model


def test_current_imports(consumer: Path, run_registry: Run) -> None:
    done = run_registry(consumer, "outdated")
    assert (done.code, done.err) == (0, "2 imports: 2 current\n")
    assert done.out == (
        "data/pets.dvc: datasets/pets@v1.0.0 is the latest version\n"
        "pets.onnx.dvc: models/pets@v1.0.0 is the latest version\n"
    )
    (consumer / "data/pets.dvc").unlink()
    (consumer / "pets.onnx.dvc").unlink()
    assert run_registry(consumer, "outdated").err == "0 imports\n"


def test_an_outdated_import_names_the_command_that_updates_it(
    consumer: Path, newer: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_registry(consumer, "outdated")
    assert (done.code, done.err) == (1, "2 imports: 1 outdated, 1 current\n")
    first, then, _ = done.out.splitlines()
    said = "data/pets.dvc: datasets/pets@v1.0.0, released since: datasets/pets@v2.0.0 (another major version)"
    assert (first, then) == (said, "  then: dvc update data/pets.dvc --rev datasets/pets@v2.0.0")
    assert dvc_main(then.removeprefix("  then: dvc ").split()) == 0
    assert run_registry(consumer, "outdated").code == 0


def test_a_withdrawn_import_comes_first_with_the_reason(consumer: Path, newer: Path, run_registry: Run) -> None:
    file = consumer / "data/pets.dvc"
    file.write_text(file.read_text().replace("datasets/pets@v1.0.0", "datasets/pets@v1.1.0"))
    (consumer / "a.dvc").write_text((consumer / "pets.onnx.dvc").read_text())
    done = run_registry(consumer, "outdated", "--format", "json")
    rows = json.loads(done.out)
    assert (done.code, [row["state"] for row in rows]) == (1, ["withdrawn", "current", "current"])
    assert rows[0] == {
        "file": "data/pets.dvc",
        "repository": str(newer),
        "release": "datasets/pets@v1.1.0",
        "state": "withdrawn",
        "reason": "labels swapped",
        "newer": "datasets/pets@v2.0.0",
        "update": "dvc update data/pets.dvc --rev datasets/pets@v2.0.0",
    }
    shown = run_registry(consumer, "outdated").out
    assert shown.startswith("data/pets.dvc: datasets/pets@v1.1.0 is withdrawn: labels swapped\n  then: dvc update ")


def test_what_cannot_be_told_is_no_success(consumer: Path, run_registry: Run) -> None:
    file = consumer / "data/pets.dvc"
    text = file.read_text()
    file.write_text(text.replace("datasets/pets@v1.0.0", "datasets/pets@v7.0.0"))
    done = run_registry(consumer, "outdated")
    assert (done.code, "datasets/pets@v7.0.0: no such release exists" in done.out) == (1, True)
    file.write_text(text.replace("url: ", "url: https://127.0.0.1:1/"))
    done = run_registry(consumer, "outdated")
    assert (done.code, "data/pets.dvc: datasets/pets@v1.0.0: https://127.0.0.1:1/" in done.out) == (1, True)


def test_an_address_that_looks_like_an_option_is_an_address(consumer: Path, run_registry: Run) -> None:
    file, made = consumer / "data/pets.dvc", consumer / "made"
    option = f"url: --upload-pack=touch {made};git-upload-pack"
    file.write_text(re.sub(r"url:\s+\S+", lambda _: option, file.read_text()))  # DVC puts a long URL on its own line
    done = run_registry(consumer, "outdated")
    assert (done.code, "data/pets.dvc: datasets/pets@v1.0.0: --upload-pack" in done.out) == (1, True)
    assert not made.exists()


def test_other_dvc_files_are_passed_over_and_broken_ones_are_named(consumer: Path, run_registry: Run) -> None:
    for name, text in {
        "own.dvc": "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  path: own\n",
        "branch.dvc": (consumer / "pets.onnx.dvc").read_text().replace("models/pets@v1.0.0", "main"),
        "list.dvc": "[]\n",
        "odd.dvc": "deps: [1, {repo: {url: 3, rev: x}}, {repo: x}]\n",
        "broken.dvc": "deps: [\n",
        "node_modules/x.dvc": (consumer / "pets.onnx.dvc").read_text(),
    }.items():
        repositories.write_bytes(consumer / name, text.encode())
    done = run_registry(consumer, "outdated")
    assert (done.code, done.out.count("\n")) == (0, 2)
    assert "warning: broken.dvc" in done.err
    assert done.err.endswith("2 imports: 2 current\n")


# --- Renovate ---------------------------------------------------------------------------------------------------------


def test_renovates_manager_reads_what_dvc_writes_and_finds_the_tags(consumer: Path, newer: Path) -> None:
    [manager] = json.loads((ROOT / "docs/renovate.json").read_text())["customManagers"]
    [pattern] = (one.replace("(?<", "(?P<") for one in manager["matchStrings"])
    [files] = (one.strip("/") for one in manager["managerFilePatterns"])
    commit = git_in(newer, "rev-parse", "datasets/pets@v1.0.0^{commit}")
    for name, kind in (("data/pets.dvc", "datasets"), ("pets.onnx.dvc", "models")):
        assert re.search(files, name)
        [found] = re.finditer(pattern, (consumer / name).read_text())
        said = found.groupdict()
        assert (said["packageName"], said["depName"], said["currentValue"]) == (str(newer), f"{kind}/pets", "1.0.0")
    [found] = re.finditer(pattern, (consumer / "data/pets.dvc").read_text())
    assert found["currentDigest"] == commit
    version = manager["extractVersionTemplate"].replace("{{{depName}}}", found["depName"]).replace("(?<", "(?P<")
    tags = git_in(newer, "tag", "--list").splitlines()
    versions = {match["version"] for tag in tags if (match := re.search(version, tag))}
    assert versions == {"1.0.0", "1.1.0", "2.0.0"}


def test_what_renovate_writes_is_what_dvc_update_writes(consumer: Path, newer: Path) -> None:
    """Renovate replaces the version and the commit; the command of its rule then brings the MD5."""
    config = json.loads((ROOT / "docs/renovate.json").read_text())
    file = consumer / "data/pets.dvc"
    old, new = (git_in(newer, "rev-parse", f"datasets/pets@v{version}^{{commit}}") for version in ("1.0.0", "2.0.0"))
    written = file.read_text().replace("@v1.0.0", "@v2.0.0").replace(old, new)
    file.write_text(written)
    [command] = config["packageRules"][0]["postUpgradeTasks"]["commands"]
    values = {"depName": "datasets/pets", "newValue": "2.0.0", "packageFile": "data/pets.dvc"}
    for name, value in values.items():
        command = command.replace(f"{{{{{{{name}}}}}}}", value)
    assert dvc_main(command.split()[1:]) == 0
    assert [line for line in file.read_text().splitlines() if "rev" in line] == [
        line for line in written.splitlines() if "rev" in line
    ]
    released = git_in(newer, "show", "datasets/pets@v2.0.0:datasets/pets/prepared.dvc")
    assert released.partition("md5: ")[2].partition("\n")[0] in file.read_text()
