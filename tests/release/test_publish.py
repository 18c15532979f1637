"""Publishing: what comes out, what is refused, and promises 1 and 2 against every fault that could be thought of."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from registry.core import tag_messages
from support import model_files, release_auditor, repositories
from support.repositories import Run, origin, production, staging

DATASET, MODEL = "datasets/pets@v1.0.0", "models/pets@v1.0.0"
WEIGHTS = repositories.md5(model_files.named(b"weights of 1.0.0"))
CAT = repositories.md5(b"one cat")


def nothing_was_published(root: Path) -> bool:
    return release_auditor.releases(origin(root)) == release_auditor.releases(root) == {}


def brought(root: Path) -> dict[str, str]:
    """The commits that brought the versions of `merged_model`."""
    dataset, model = repositories.git_in(root, "rev-parse", "HEAD~1", "HEAD").splitlines()
    return {DATASET: dataset, MODEL: model}


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_objects_and_annotated_tags(merged_model: Path, run_registry: Run) -> None:
    done = run_registry(merged_model, "publish")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("published: 13 objects copied to production, ")
    assert repositories.snapshot(production(merged_model) / "files") == repositories.snapshot(
        staging(merged_model) / "files"
    )
    assert release_auditor.releases(origin(merged_model)) == brought(merged_model)
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


def test_the_tags_message_can_be_read_by_machines(released_model: Path) -> None:
    prepared = yaml.safe_load((released_model / "datasets/pets/prepared.dvc").read_text())["outs"][0]
    subject, _, *lines = repositories.git_in(
        released_model, "tag", "--list", "--format=%(contents)", DATASET
    ).splitlines()
    assert subject == "datasets/pets 1.0.0: Pets at home"
    facts = dict(line.split(": ", 1) for line in lines)
    assert tag_messages.find_manifest(f"manifest: {facts.pop('manifest')}") is not None
    assert facts == {
        "artifact": "datasets/pets", "version": "1.0.0", "title": "Pets at home", "md5": prepared["md5"],
        "size": str(prepared["size"]), "files": "8", "images": "5", "train": "3", "val": "1", "test": "1",
    }  # fmt: skip
    message = repositories.git_in(released_model, "tag", "--list", "--format=%(contents)", MODEL)
    assert f"md5: {WEIGHTS}\nsize: {len(model_files.named(b'weights of 1.0.0'))}\ndata: {prepared['md5']}" in message


def test_dvc_and_gto_understand_the_release(built_model: Path, run_registry: Run, tmp_path: Path) -> None:
    rows = {
        "datasets/pets": {"path": "datasets/pets/prepared", "type": "dataset"},
        "models/pets": {"path": "models/pets/model.onnx", "type": "model"},
    }
    (built_model / "dvc.yaml").write_text(yaml.safe_dump({"artifacts": rows}))
    repositories.git_in(built_model, "reset", "--soft", "HEAD~2")
    repositories.commit(built_model, "both artifacts, and their rows")
    assert run_registry(built_model, "publish").code == 0
    for rest in (staging(built_model), built_model / ".dvc/cache"):
        shutil.rmtree(rest)
    tools = Path(sys.executable).parent
    get = (str(tools / "dvc"), "artifacts", "get", "--rev", "v1.0.0", str(built_model))
    assert repositories.sh(tmp_path, *get, "datasets/pets", "--out", "images").returncode == 0
    assert repositories.sh(tmp_path, *get, "models/pets", "--out", "weights").returncode == 0
    assert (tmp_path / "images/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg").read_bytes() == b"one cat"
    assert (tmp_path / "weights").read_bytes() == model_files.named(b"weights of 1.0.0")
    shown = json.loads(repositories.sh(built_model, str(tools / "gto"), "show", "--json").stdout)
    assert {name: row["version"] for name, row in shown.items()} == {"datasets/pets": "v1.0.0", "models/pets": "v1.0.0"}


def test_a_dry_run_prints_the_plan(merged_model: Path, run_registry: Run) -> None:
    commits = brought(merged_model)
    done = run_registry(merged_model, "publish", "--dry-run")
    assert done.out == (
        f"{DATASET}: copy 11 objects to production, tag {commits[DATASET][:10]}, push the tag to origin\n"
        f"{MODEL}: copy 2 objects to production, tag {commits[MODEL][:10]}, push the tag to origin\n"
    )
    assert not production(merged_model).exists()
    assert nothing_was_published(merged_model)


def test_a_second_push_has_nothing_to_do(released_model: Path, run_registry: Run) -> None:
    before = repositories.published(released_model)
    done = run_registry(released_model, "publish")
    assert done.out == f"{DATASET}: already published\n{MODEL}: already published\n"
    assert repositories.published(released_model) == before


def test_what_is_published_never_changes(released_model: Path, run_registry: Run) -> None:
    before, tags = repositories.published(released_model)
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.model(released_model, "pets", b"weights of 1.1.0", "1.1.0")
    repositories.merge(released_model, "more pets")
    assert run_registry(released_model, "publish").code == 0
    after, more_tags = repositories.published(released_model)
    assert {key: after[key] for key in before} == before
    assert {name: more_tags[name] for name in tags} == tags
    assert sorted(set(more_tags) - set(tags)) == ["datasets/pets@v1.1.0", "models/pets@v1.1.0"]
    assert release_auditor.broken_promises(origin(released_model), production(released_model)) == []


def test_without_a_remote_the_tags_stay_local(built_model: Path, run_registry: Run) -> None:
    assert run_registry(built_model, "publish").code == 0
    assert sorted(release_auditor.releases(built_model)) == [DATASET, MODEL]
    assert run_registry(built_model, "publish").out == f"{DATASET}: already published\n{MODEL}: already published\n"


def test_in_a_detached_head_on_main_as_ci_has_it(merged_model: Path, run_registry: Run) -> None:
    repositories.git_in(merged_model, "checkout", "--quiet", "--detach", "HEAD~1")
    assert run_registry(merged_model, "publish").code == 0
    assert list(release_auditor.releases(origin(merged_model))) == [DATASET]


def test_versions_that_are_not_built_or_withdrawn_are_skipped(merged_model: Path, run_registry: Run) -> None:
    repositories.dataset(merged_model, "pets", repositories.PETS, "1.0.0", withdrawn={"1.0.0": "two labels are wrong"})
    repositories.dataset(merged_model, "birds", repositories.PETS, "1.0.0")
    (merged_model / "datasets/birds/prepared.dvc").unlink()
    repositories.merge(merged_model, "withdrawn, and not built")
    done = run_registry(merged_model, "publish", "datasets/birds", "datasets/pets")
    assert done.code == 0
    assert done.out.splitlines() == [
        "datasets/birds: not built yet", "datasets/pets: 1.0.0 is withdrawn: two labels are wrong",
    ]  # fmt: skip
    assert nothing_was_published(merged_model)


def test_objects_of_a_tag_made_by_hand_are_copied(merged_model: Path, run_registry: Run) -> None:
    """`gto register` makes a tag and moves no object."""
    repositories.git_in(merged_model, "tag", "--annotate", "--message", "by hand", DATASET)
    repositories.git_in(merged_model, "push", "--quiet", "origin", DATASET)
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) != []
    assert run_registry(merged_model, "publish").code == 0
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


# --- wrong objects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"ONE cat", b"one", b"", b"something much longer"])
def test_a_corrupt_object_never_enters_production(body: bytes, merged_model: Path, run_registry: Run) -> None:
    file = repositories.place(staging(merged_model), CAT)
    repositories.overwrite(file, body)
    done = run_registry(merged_model, "publish")
    assert done.refused("datasets/pets/prepared/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg", str(file))
    assert "run `registry push --deep` where the data is: it replaces corrupt objects in staging; then" in done.err
    assert nothing_was_published(merged_model)
    assert not repositories.place(production(merged_model), CAT).exists()
    assert not list(production(merged_model).rglob("*.dir")) or release_auditor.releases(origin(merged_model)) == {}
    assert run_registry(merged_model, "push", "--deep").code == 0
    assert run_registry(merged_model, "publish").code == 0
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


@pytest.mark.parametrize("fault", ["missing", "corrupt", "none"])
def test_a_tag_made_by_hand_proves_nothing(merged_model: Path, run_registry: Run, fault: str) -> None:
    """Production has the list of files, as after a `dvc push`, and perhaps not all of them."""
    shutil.copytree(staging(merged_model), production(merged_model))
    file = repositories.place(production(merged_model), CAT)
    file.unlink()
    if fault != "missing":
        file.write_bytes(b"ONE cat" if fault == "corrupt" else b"one cat")
    tag = "datasets/pets@v1.0.0"
    repositories.git_in(merged_model, "tag", "--annotate", "--message=by hand", tag)
    repositories.git_in(merged_model, "push", "--quiet", "origin", tag)
    done = run_registry(merged_model, "publish", "datasets/pets")
    if fault == "corrupt":
        assert done.refused(str(file), "checksum mismatch")
        return
    assert (done.code, "already published" in done.out) == (0, False)
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


def test_a_corrupt_object_in_production_prevents_the_tag(merged_model: Path, run_registry: Run) -> None:
    """A person ran `dvc push`, which trusts its cache; the size is right."""
    file = repositories.place(production(merged_model), CAT)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"ONE cat")
    done = run_registry(merged_model, "publish")
    assert done.refused("has objects in production that are corrupt", str(file), "staging's copy replaces it")
    assert nothing_was_published(merged_model)
    file.unlink()
    assert run_registry(merged_model, "publish").code == 0
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


def test_nothing_in_production_is_to_be_deleted_before_staging_has_an_intact_copy(
    merged_model: Path, run_registry: Run
) -> None:
    file = repositories.place(production(merged_model), CAT)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"ONE cat")
    repositories.overwrite(repositories.place(staging(merged_model), CAT), b"ONE cat")
    done = run_registry(merged_model, "publish")
    assert done.refused("registry push --deep")
    assert "delete" not in done.err
    assert run_registry(merged_model, "push", "--deep").code == 0
    assert run_registry(merged_model, "publish").refused("delete that object", "staging's copy replaces it")
    file.unlink()
    assert run_registry(merged_model, "publish").code == 0
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


def test_a_truncated_object_of_an_earlier_release_is_found(released_model: Path, run_registry: Run) -> None:
    file = repositories.place(production(released_model), CAT)
    repositories.overwrite(file, b"one")
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.merge(released_model, "more pets")
    done = run_registry(released_model, "publish", "datasets/pets")
    assert done.refused("is incomplete, so datasets/pets@v1.1.0 was not created", str(file))
    assert sorted(release_auditor.releases(origin(released_model))) == [DATASET, MODEL]


def test_a_list_of_files_that_is_corrupt(merged_model: Path, run_registry: Run) -> None:
    (file,) = (path for path in staging(merged_model).rglob("*.dir") if b"metadata" in path.read_bytes())
    repositories.overwrite(file, b"[]")
    assert run_registry(merged_model, "publish").refused("datasets/pets/prepared: list of files ", "registry push")
    assert not production(merged_model).exists()


def test_a_list_of_files_that_leads_out_of_its_folder(merged_model: Path, run_registry: Run) -> None:
    evil = json.dumps([{"md5": CAT, "relpath": "../../../../etc/cron.d/evil"}]).encode()
    repositories.keep(merged_model, evil, ".dir")
    pointer = merged_model / "datasets/pets/raw.dvc"
    data = yaml.safe_load(pointer.read_text())
    data["outs"][0] |= {"md5": f"{repositories.md5(evil)}.dir", "size": 7}
    repositories.write(pointer, data)
    repositories.merge(merged_model, "evil")
    assert run_registry(merged_model, "publish").refused("../../../../etc/cron.d/evil", "is not a file of its folder")
    assert not production(merged_model).exists()


def test_an_object_in_neither_staging_nor_production(merged_model: Path, run_registry: Run) -> None:
    repositories.place(staging(merged_model), CAT).unlink()
    done = run_registry(merged_model, "publish")
    assert done.refused(f"{DATASET}: 1 object, such as datasets/pets/prepared/train/cat/0a8c7f6e", "registry push")
    assert "not published: datasets/pets@v1.0.0, models/pets@v1.0.0" in done.err
    assert not production(merged_model).exists()


def test_a_pointer_with_the_wrong_size(merged_model: Path, run_registry: Run) -> None:
    pointer = merged_model / "datasets/pets/prepared.dvc"
    pointer.write_text(pointer.read_text().replace("size: ", "size: 1"))
    repositories.merge(merged_model, "a lie")
    assert run_registry(merged_model, "publish").refused("datasets/pets/prepared: its objects have", "expected 1")
    assert DATASET not in release_auditor.releases(origin(merged_model))


def test_a_model_needs_its_dataset_in_production(merged_model: Path, run_registry: Run) -> None:
    done = run_registry(merged_model, "publish", "models/pets")
    assert done.refused(
        "models/pets was trained on data of datasets/pets that is not published", "publish that version"
    )
    assert run_registry(merged_model, "publish", "datasets/pets").code == 0
    assert run_registry(merged_model, "publish", "models/pets").code == 0
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


# --- wrong places -----------------------------------------------------------------------------------------------------


def test_staging_that_does_not_exist(merged_model: Path, run_registry: Run) -> None:
    shutil.rmtree(staging(merged_model))
    assert run_registry(merged_model, "publish").code == 1
    assert nothing_was_published(merged_model)


def test_production_that_cannot_be_written(merged_model: Path, run_registry: Run) -> None:
    production(merged_model).write_text("a file where a folder should be")
    assert run_registry(merged_model, "publish").refused(str(production(merged_model)))
    assert nothing_was_published(merged_model)


def test_a_disk_that_is_full(merged_model: Path, run_registry: Run) -> None:
    """No file may grow over 50,000 bytes: the weights do not fit, everything else does."""
    repositories.model(merged_model, "pets", bytes(100_000), "1.0.0")
    repositories.merge(merged_model, "large weights")
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); import registry.__main__"
    done = repositories.sh(merged_model, sys.executable, "-B", "-c", full, "publish")  # -B: it would cut modules off
    assert done.returncode == 1
    assert "file too large" in done.stderr
    assert "\n  hint: " in done.stderr
    assert not repositories.place(production(merged_model), repositories.md5(bytes(100_000))).exists()
    assert nothing_was_published(merged_model)
    dataset, head = repositories.git_in(merged_model, "rev-parse", "HEAD~2", "HEAD").splitlines()
    assert run_registry(merged_model, "publish").code == 0
    assert release_auditor.releases(origin(merged_model)) == {DATASET: dataset, MODEL: head}
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []


# --- wrong Git --------------------------------------------------------------------------------------------------------


def test_only_main_is_published(merged_model: Path, run_registry: Run) -> None:
    repositories.git_in(merged_model, "switch", "--quiet", "--create", "feature")
    assert run_registry(merged_model, "publish").refused("the current branch is feature; only main can be published")


def test_only_what_is_merged_is_published(merged_model: Path, run_registry: Run) -> None:
    repositories.commit(merged_model, "not pushed")
    assert run_registry(merged_model, "publish").refused("is not on origin/main", "git push origin main")
    repositories.git_in(merged_model, "checkout", "--quiet", "--detach")
    assert run_registry(merged_model, "publish").refused("is not on origin/main")


def test_only_what_is_committed_is_published(merged_model: Path, run_registry: Run) -> None:
    (merged_model / "datasets/pets/notes.txt").write_text("new")
    assert run_registry(merged_model, "publish").refused("datasets/pets/notes.txt has uncommitted changes")


def test_a_shallow_clone_is_refused(merged_model: Path, run_registry: Run, tmp_path: Path) -> None:
    repositories.git_in(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin(merged_model)}", "shallow")
    assert run_registry(tmp_path / "shallow", "publish").refused("this clone is shallow", "git fetch --unshallow")


def test_without_an_identity_there_is_no_tag(merged_model: Path, run_registry: Run) -> None:
    repositories.git_in(merged_model, "config", "user.name", "")
    repositories.git_in(merged_model, "config", "user.email", "")
    assert run_registry(merged_model, "publish").refused("user.name and user.email are not set", "git config user.name")


def test_different_data_needs_a_higher_version(released_model: Path, run_registry: Run) -> None:
    before = repositories.published(released_model)
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.0.0")
    repositories.merge(released_model, "more pets, same version")
    assert run_registry(released_model, "publish").refused(
        DATASET, "set a higher version in datasets/pets/dataset.yaml"
    )
    assert repositories.published(released_model) == before


def test_a_version_never_decreases(released_model: Path, run_registry: Run) -> None:
    repositories.dataset(released_model, "pets", repositories.PETS, "0.9.0")
    repositories.merge(released_model, "back")
    words = "datasets/pets/dataset.yaml: version is 0.9.0, expected more than the latest published, 1.0.0"
    assert run_registry(released_model, "publish").refused(words)


@pytest.mark.parametrize("where", ["here", "at the origin"])
def test_a_lightweight_tag_is_in_the_way(where: str, merged_model: Path, run_registry: Run) -> None:
    repositories.git_in(merged_model, "tag", DATASET)
    if where == "at the origin":
        repositories.git_in(merged_model, "push", "--quiet", "origin", DATASET)
    done = run_registry(merged_model, "publish")
    assert done.refused(f"{DATASET} is a lightweight tag, which DVC and GTO ignore", f"git tag -d {DATASET}")
    assert not production(merged_model).exists()


def test_a_tag_of_origin_with_different_data(merged_model: Path, run_registry: Run, tmp_path: Path) -> None:
    other = repositories.other_clone(merged_model, tmp_path)
    repositories.git_in(other, "switch", "--quiet", "--create", "feature")
    repositories.dataset(other, "pets", repositories.MORE_PETS, "1.0.0")
    repositories.commit(other, "never merged")
    repositories.git_in(other, "tag", "--annotate", "--message", "by hand", DATASET)
    repositories.git_in(other, "push", "--quiet", "origin", DATASET)
    assert run_registry(merged_model, "publish").refused(f"{DATASET} exists at", "with different data from main")
    assert not production(merged_model).exists()


def test_a_local_tag_of_an_unmerged_branch(merged_model: Path, run_registry: Run) -> None:
    repositories.git_in(merged_model, "switch", "--quiet", "--create", "feature")
    repositories.commit(merged_model, "never merged")
    repositories.git_in(merged_model, "tag", "--annotate", "--message", "by hand", DATASET)
    repositories.git_in(merged_model, "switch", "--quiet", "main")
    assert run_registry(merged_model, "publish").refused("a commit that is not on main", f"git tag -d {DATASET}")
