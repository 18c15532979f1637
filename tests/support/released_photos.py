"""A registry whose dataset was selected from a lake and built by the commands, with a model on it, both released."""

from pathlib import Path

from support import repositories
from support.dataset_builds import MANIFEST, PETS, Desk, row
from support.repositories import Run

ROWS = tuple(row(number, ("cat", "dog")[number % 2]) for number in range(40))
DATASET, MODEL = f"{PETS}@v1.0.0", "models/pets@v1.0.0"


def make(root: Path, run: Run) -> Desk:
    """`root` is a fresh registry; its 40 photos are `support.dataset_builds.picture(0)` and so on."""
    desk = Desk(root, run)
    (root / PETS / "dataset.yaml").write_text(MANIFEST.replace('[cat, dog, "no"]', "[cat, dog]"))
    for number in range(len(ROWS)):
        desk.put(number)
    desk.select(ROWS)
    desk.built()
    for command in (("pull",), ("check", "--fix")):
        done = desk.run(*command)
        assert done.code == 0, done.err
    repositories.commit(root, "pets 1.0.0")
    repositories.model(root, "pets", b"weights of 1.0.0", "1.0.0")
    done = desk.run("check", "--fix")
    assert done.code == 0, done.err + done.out
    repositories.add_origin(root)
    repositories.merge(root, "models/pets 1.0.0")
    done = desk.run("publish")
    assert done.code == 0, done.err
    return desk
