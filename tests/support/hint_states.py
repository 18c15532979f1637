"""The states in which commands print next steps; each takes a fixture's repository and gives the folder to be in."""

import os
import shutil
from pathlib import Path

import polars as pl

from support import adoption, damage, memory_registries, repositories
from support.repositories import git_in, production, staging

CAT = repositories.md5(b"one cat")
PETS = "datasets/pets"


def unchanged(root: Path) -> Path:
    return root


def without_a_commit(root: Path) -> Path:
    git_in(root, "update-ref", "-d", "HEAD")
    return root


def without_cache(root: Path) -> Path:
    shutil.rmtree(root / ".dvc/cache")
    return root


def on_a_merged_branch(root: Path) -> Path:
    git_in(root, "switch", "--quiet", "--create", "feature")
    return root


def ahead_of_origin(root: Path) -> Path:
    (root / "NOTES.md").write_text("notes\n")
    repositories.commit(root, "notes")
    return root


def shallow(root: Path) -> Path:
    """A clone of one commit, with the same staging and production."""
    ahead_of_origin(root)
    git_in(root, "push", "--quiet", "origin", "main")
    git_in(root.parent, "clone", "--quiet", "--depth=1", f"file://{repositories.origin(root)}", "shallow")
    (root.parent / "shallow/.registry").symlink_to(root / ".registry")
    return root.parent / "shallow"


def without_tags(root: Path) -> Path:
    for tag in git_in(root, "tag").split():
        git_in(root, "tag", "--delete", tag)
    return root


def shallow_without_tags(root: Path) -> Path:
    return without_tags(shallow(root))


def with_a_corrupt_object_in_staging(root: Path) -> Path:
    repositories.overwrite(repositories.place(staging(root), CAT), b"ONE cat")
    return root


def with_a_lightweight_tag(root: Path) -> Path:
    git_in(root, "tag", f"{PETS}@v1.0.0")
    git_in(root, "push", "--quiet", "origin", f"{PETS}@v1.0.0")
    return root


def with_a_tag_of_a_branch(root: Path) -> Path:
    git_in(root, "switch", "--quiet", "--create", "mine")
    repositories.commit(root, "mine")
    git_in(root, "tag", "--annotate", "--message", "by hand", f"{PETS}@v1.0.0")
    git_in(root, "switch", "--quiet", "main")
    return root


def with_a_tag_of_other_data(root: Path) -> Path:
    git_in(root, "tag", "--annotate", "--message", "by hand", f"{PETS}@v1.0.0")
    repositories.dataset(root, "pets", repositories.MORE_PETS, "1.0.0")
    repositories.merge(root, "more pets")
    return root


def without_an_identity(root: Path) -> Path:
    Path(os.environ["HOME"], ".gitconfig").rename(Path(os.environ["HOME"], "unused"))
    git_in(root, "config", "user.useConfigOnly", "true")
    return root


def with_empty_staging(root: Path) -> Path:
    shutil.rmtree(staging(root))
    staging(root).mkdir()
    return root


def other_clone_of_unpushed(root: Path) -> Path:
    return repositories.other_clone(with_empty_staging(root), root.parent)


def with_an_incomplete_production(root: Path) -> Path:
    repositories.place(production(root), CAT).unlink()
    return root


def with_a_corrupt_object(root: Path) -> Path:
    repositories.overwrite(repositories.place(production(root), CAT), b"one")
    return root


def with_an_invalid_tag(root: Path) -> Path:
    (root / PETS / "raw.dvc").write_text("outs: []\n")
    repositories.commit(root, "broken")
    git_in(root, "tag", "--annotate", "--message", "broken", f"{PETS}@v1.1.0")
    git_in(root, "push", "--quiet", "origin", f"{PETS}@v1.1.0")
    git_in(root, "reset", "--quiet", "--hard", "HEAD~1")
    return root


def with_uncommitted_changes(root: Path) -> Path:
    (root / "NOTES.md").write_text("notes\n")
    return root


def in_order(root: Path) -> Path:
    """A registry in which every check passes."""
    sound = root.parent / "sound"
    memory_registries.put_on_disk(memory_registries.sound(**memory_registries.REPRODUCIBLE), sound)
    git_in(sound, "init", "--quiet")
    repositories.commit(sound, "sound")
    for name in ("datasets/pets", "models/pets"):
        git_in(sound, "tag", "--annotate", "--message", "released", f"{name}@v1.0.0")
    return sound


def with_outdated_files(root: Path) -> Path:
    sound = in_order(root)
    (sound / "CODEOWNERS").write_text("")
    return sound


def shallow_in_order(root: Path) -> Path:
    """All data is in the clone's cache: the history alone is missing."""
    sound = in_order(root)
    repositories.commit(sound, "one more commit")
    git_in(sound.parent, "clone", "--quiet", "--depth=1", "--no-tags", f"file://{sound}", "shallow")
    shutil.copytree(sound / ".dvc/cache", sound.parent / "shallow/.dvc/cache")
    return sound.parent / "shallow"


def after_leaving_a_branch(root: Path) -> Path:
    """The branch adds a dataset; its data stays in the working tree, its .gitignore does not."""
    sound = in_order(root)
    shutil.copy(root / ".dvc/.gitignore", sound / ".dvc/.gitignore")
    repositories.commit(sound, "the cache is ignored")
    git_in(sound, "switch", "--quiet", "--create", "feature")
    repositories.dataset(sound, "birds", repositories.PETS, "1.0.0")
    repositories.commit(sound, "birds")
    git_in(sound, "switch", "--quiet", "-")
    return sound


def with_another_query(root: Path) -> Path:
    manifest = root / "datasets/pets/dataset.yaml"
    manifest.write_text(manifest.read_text().replace("by hand", "by another hand"))
    pl.read_parquet(root / "datasets/pets/raw/selection.parquet").write_csv(root / "export.csv")
    repositories.registry(root, "check", "--fix")
    return root


def with_a_tracked_raw_folder(root: Path) -> Path:
    sound = in_order(root)
    (sound / PETS / "raw").mkdir(exist_ok=True)
    (sound / PETS / "raw/selection.parquet").write_bytes(b"rows")
    git_in(sound, "add", "--force", f"{PETS}/raw/selection.parquet")
    return sound


def with_a_damaged_cache(root: Path) -> Path:
    """An object of DVC's cache was changed in place, and the folder that needs it is not linked."""
    damage.with_the_old_time(repositories.place(root / ".dvc/cache", CAT))
    shutil.rmtree(root / "datasets/pets/prepared")
    return root


def with_changed_files(root: Path) -> Path:
    """Two files of a dataset are not in DVC's cache."""
    repositories.overwrite(root / "datasets/pets/prepared/train/metadata.parquet", b"mine")
    (root / "datasets/pets/prepared/notes.txt").write_text("mine")
    return root


def with_crlf(root: Path) -> Path:
    """Everything is in order, but for an editor that saved a model's code with CRLF."""
    assert repositories.registry(root, "check", "--fix").returncode == 0
    repositories.commit(root, "generated files")
    code = root / "models/pets/train.py"
    code.write_bytes(code.read_bytes().replace(b"\n", b"\r\n"))
    return root


def with_a_folder_added_by_hand(root: Path) -> Path:
    """`dvc add` in a folder that is no dataset yet."""
    sound = in_order(root)
    adoption.fill(sound / "datasets/birds/photos", adoption.PETS)
    adoption.dvc(sound, "add", "--quiet", "datasets/birds/photos")
    return sound
