"""Images that are test images of one dataset and train or validation images of another are told, with their number."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from support import repositories
from support.repositories import PETS, Run, git_in


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012d}"


def put(root: Path, name: str, images: Mapping[str, bytes]) -> None:
    repositories.dataset(root, name, images, "1.0.0")
    repositories.registry(root, "check", "--fix")


def found(root: Path, run: Run, *args: str) -> dict[str, tuple[str, str]]:
    """What [shared-images] finds: dataset → verdict and message."""
    findings = json.loads(run(root, "check", *args, "--format", "json").out)["findings"]
    return {one["artifact"]: (one["verdict"], one["message"]) for one in findings if one["check"] == "shared-images"}


MOVED = {  # pets' test image in train, and one of its train images in test; others stay where they are
    f"train/dog/{uuid(5)}.jpg": b"a dog that runs",
    f"test/cat/{uuid(1)}.jpg": b"one cat",
    f"train/cat/{uuid(2)}.jpg": b"two cats",
    f"val/dog/{uuid(40)}.jpg": b"a dog of its own",
}


def test_images_that_are_test_here_and_train_there_are_counted(built_dataset: Path, run_registry: Run) -> None:
    put(built_dataset, "share", MOVED)
    other = {"datasets/pets": "datasets/share", "datasets/share": "datasets/pets"}
    assert found(built_dataset, run_registry) == {
        dataset: (
            "needs an owner",
            (
                f"1 of 1 test images are train or val images of {other[dataset]} and 1 of 1 test images of "
                f"{other[dataset]} are train or val images here: {uuid(1)}, {uuid(5)}"
            ),
        )
        for dataset in other
    }


def test_only_datasets_that_changed_are_compared_with_the_others(built_dataset: Path, run_registry: Run) -> None:
    repositories.registry(built_dataset, "check", "--fix")
    repositories.commit(built_dataset, "what follows from manifests")
    put(built_dataset, "share", MOVED)
    assert list(found(built_dataset, run_registry, "--base=HEAD")) == ["datasets/share"]
    git_in(built_dataset, "add", "--all")
    assert found(built_dataset, run_registry, "--staged") == {}


def test_the_same_bytes_under_another_uuid_are_the_same_image(built_dataset: Path, run_registry: Run) -> None:
    put(built_dataset, "share", {f"val/dog/{uuid(77)}.jpg": b"a dog that runs", f"train/cat/{uuid(78)}.jpg": b"x"})
    _verdict, message = found(built_dataset, run_registry, "--base=HEAD")["datasets/share"]
    assert message.startswith("1 of 1 test images of datasets/pets are train or val images here")


def test_other_bytes_under_the_same_uuid_are_the_same_image(built_dataset: Path, run_registry: Run) -> None:
    put(built_dataset, "share", {f"train/dog/{uuid(5)}.jpg": b"encoded again", f"val/cat/{uuid(78)}.jpg": b"x"})
    assert "datasets/share" in found(built_dataset, run_registry)


def test_datasets_with_the_same_split_rule_share_images_without_a_finding(
    built_dataset: Path, run_registry: Run
) -> None:
    put(built_dataset, "share", PETS | {f"train/dog/{uuid(40)}.jpg": b"another"})
    assert found(built_dataset, run_registry) == {}


def test_a_dataset_that_could_not_be_compared_is_not_passed_in_silence(built_dataset: Path, run_registry: Run) -> None:
    put(built_dataset, "share", MOVED)
    pointer = yaml.safe_load((built_dataset / "datasets/pets/prepared.dvc").read_text())["outs"][0]["md5"]
    for store in (built_dataset / ".dvc/cache", repositories.staging(built_dataset)):
        repositories.place(store, pointer).unlink()
    verdict, message = found(built_dataset, run_registry, "--base=HEAD")["datasets/share"]
    assert (verdict, message.split(" (")[0]) == (
        "needs an owner",
        "was not compared with datasets/pets: datasets/pets/prepared",
    )


def test_of_many_datasets_the_worst_are_told_and_the_others_counted(built_dataset: Path, run_registry: Run) -> None:
    """Each dataset against each other: 50 of them would have 2,450 findings."""
    names = [f"share{number}" for number in range(6)]
    for number, name in enumerate(names):
        more = {f"train/cat/{uuid(200 + number)}.jpg": name.encode()}
        repositories.dataset(built_dataset, name, (MOVED if name != "share5" else {}) | more, "1.0.0")
    repositories.registry(built_dataset, "check", "--fix")
    done = json.loads(run_registry(built_dataset, "check", "--all", "--format", "json").out)["findings"]
    mine = [one for one in done if one["check"] == "shared-images" and one["artifact"] == "datasets/pets"]
    assert [one["message"].partition(": ")[0].split(" of ")[-1] for one in mine[:3]] == [
        f"datasets/{name} are train or val images here" for name in names[:3]
    ]
    assert [one["message"] for one in mine[3:]] == [
        "2 more datasets share 4 test images with this one across splits: datasets/share3, datasets/share4"
    ]


def test_datasets_that_cannot_be_read_are_one_finding(built_dataset: Path, run_registry: Run) -> None:
    for number in range(5):
        put(built_dataset, f"share{number}", MOVED | {f"train/cat/{uuid(200 + number)}.jpg": bytes([number])})
        pointer = built_dataset / f"datasets/share{number}/prepared.dvc"
        md5 = yaml.safe_load(pointer.read_text())["outs"][0]["md5"]
        for store in (built_dataset / ".dvc/cache", repositories.staging(built_dataset)):
            repositories.place(store, md5).unlink(missing_ok=True)
    findings = json.loads(run_registry(built_dataset, "check", "--all", "--remote", "--format", "json").out)["findings"]
    [told] = [one for one in findings if one["check"] == "shared-images" and one["artifact"] == "datasets/pets"]
    others = "datasets/share0, datasets/share1, datasets/share2 and 2 more"
    assert told["message"].startswith(f"was not compared with {others}: datasets/share0/prepared")
    assert told["fix"] == "registry pull datasets/share0 datasets/share1 datasets/share2"
