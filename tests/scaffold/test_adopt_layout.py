"""Which files are images, of which class and split, by the names of the folders alone."""

import pytest

from registry.errors import Refused
from registry.scaffold import adopt_layout
from registry.scaffold.adopt_layout import HIDDEN, NO_IMAGE


def placed(*paths: str, labelled: tuple[str, ...] = ()) -> list[tuple[str | None, str | None]]:
    return [(image.split, image.label) for image in adopt_layout.read(paths, labelled)]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("cat/.DS_Store", HIDDEN), (".git/cat/1.jpg", HIDDEN), ("cat/._1.jpg", HIDDEN), ("cat/Thumbs.db", NO_IMAGE),
        ("cat/@eaDir/1.jpg", NO_IMAGE), ("README.md", NO_IMAGE), ("cat/1.npy", NO_IMAGE), ("cat/noextension", NO_IMAGE),
        ("cat/1.HEIC", "HEIC: convert it to JPEG, PNG or WebP"), ("cat/1.tif", "TIF: convert it to JPEG, PNG or WebP"),
        ("cat/\udcff.jpg", "its name is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_left_out_with_the_reason(path: str, why: str) -> None:
    found = adopt_layout.sort([path, "cat/1.jpg", "cat/2.JPEG", "dog/3.png", "dog/4.WebP", "metadata.csv"])
    assert [(one.path, one.why) for one in found.left_out] == [(path, why)]
    assert found.images == ("cat/1.jpg", "cat/2.JPEG", "dog/3.png", "dog/4.WebP")
    assert found.metadata == ("metadata.csv",)


def test_a_source_without_images_says_what_it_has() -> None:
    with pytest.raises(Refused, match=r"no JPEG, PNG or WebP among 2 files: a\.heic \(HEIC: convert it"):
        adopt_layout.sort(["a.heic", "b.txt"])
    with pytest.raises(Refused, match="among 0 files"):
        adopt_layout.sort([])


def test_class_folders() -> None:
    assert placed("cat/1.jpg", "dog/2.jpg", "3.jpg") == [(None, "cat"), (None, "dog"), (None, None)]


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("valid", "val"), ("validation", "val"), ("dev", "val"),
     ("TEST", "test"), ("eval", "test")],
)  # fmt: skip
def test_splits_above_and_below_the_classes(name: str, split: str) -> None:
    assert placed(f"{name}/cat/1.jpg", "train/dog/2.jpg") == [(split, "cat"), ("train", "dog")]
    assert placed(f"cat/{name}/1.jpg", "dog/train/2.jpg") == [(split, "cat"), ("train", "dog")]


def test_a_class_that_is_called_like_a_split_is_a_class_beside_others() -> None:
    assert placed("train/1.jpg", "car/2.jpg") == [(None, "train"), (None, "car")]
    assert placed("train/1.jpg", "test/2.jpg") == [(None, "train"), (None, "test")]


def test_labels_of_a_table_need_no_class_folder() -> None:
    paths = ("train/1.jpg", "test/2.jpg")
    assert placed(*paths, labelled=paths) == [("train", None), ("test", None)]
    deep = ("a/b/c/1.jpg", "2.jpg")
    assert placed(*deep, labelled=deep) == [(None, "a/b/c"), (None, None)]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("cat/1.jpg", "dog/2024/2.jpg"), r"at several depths: cat/1\.jpg and dog/2024/2\.jpg"),
        (("train/cat/1.jpg", "cat/2.jpg"), r"at several depths: cat/2\.jpg and train/cat/1\.jpg"),
        (("train/cat/1.jpg", "train/cat/old/2.jpg"), "at several depths"),
        (("pets/cat/1.jpg", "pets/dog/2.jpg"), r"expected CLASS/FILE, SPLIT/CLASS/FILE"),
    ],
)
def test_folders_of_no_known_form_are_refused(paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(Refused, match=message):
        adopt_layout.read(paths)


# --- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "name"),
    [("cat", "cat"), ("Käse", "Kase"), ("Größe", "Grosse"),
     ("n/a", "n-a"), ("  a  ", "a"), ("日本", "class"), ("con", "class con"),
     ("metadata.x", "class metadata.x"), ("1", "1"), ("a" * 80, "a" * 64), ("..", "class"), ("x.", "x")],
)  # fmt: skip
def test_a_label_becomes_the_nearest_class(label: str, name: str) -> None:
    assert adopt_layout.as_class(label) == name
    assert adopt_layout.name_classes([label], {}) == {label: name}


@pytest.mark.parametrize("labels", [("Cat", "cat"), ("a/b", "a:b"), ("Käse", "kase")])
def test_labels_that_give_one_class_need_a_decision(labels: tuple[str, str]) -> None:
    with pytest.raises(Refused, match="differ only in case, or in signs") as refused:
        adopt_layout.name_classes(labels, {})
    first, second = sorted(labels)
    assert refused.value.fix == f"give both one name: --class '{second}={adopt_layout.as_class(first)}'"
    both = adopt_layout.name_classes(labels, {second: adopt_layout.as_class(first)})
    assert set(both.values()) == {adopt_layout.as_class(first)}


def test_a_choice_that_gives_no_class_is_refused() -> None:
    with pytest.raises(Refused, match=r"--class bird: the source has no such class: cat"):
        adopt_layout.name_classes(["cat"], {"bird": "x"})
    with pytest.raises(Refused, match="--class cat=a/b: not the name of a class") as refused:
        adopt_layout.name_classes(["cat"], {"cat": "a/b"})
    assert refused.value.fix == "such as a-b"
    with pytest.raises(Refused, match="differ only in case"):
        adopt_layout.name_classes(["cat", "dog"], {"dog": "CAT"})
