from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from registry.checks import collect
from registry.checks.context import ArtifactSubject, DatasetSubject, Facts, Scope
from registry.core.versioning import total
from registry.errors import NotFound
from registry.integrations import git, git_trees
from registry.storage.reader import ABSENT
from support import memory_registries, repositories
from support.memory_registries import Registry, images

PETS, MODEL = "datasets/pets", "models/pets"
MANIFEST, POINTER = f"{PETS}/dataset.yaml", f"{PETS}/prepared.dvc"


def subject(found: Facts, artifact: str = PETS) -> ArtifactSubject:
    return next(one for one in found.subjects if str(one.id) == artifact)


def ids(found: Facts) -> list[str]:
    return [str(one.id) for one in found.subjects]


class Counting(Registry):
    """A registry that notes which objects were asked for, and which files were read."""

    def gather(self, *args: Any, **kwargs: Any) -> Facts:
        self.asked, kept = [], self.objects
        self.objects = Asked(kept, self.asked)
        try:
            return super().gather(*args, **kwargs)
        finally:
            self.objects = kept


class Asked(dict):
    def __init__(self, objects: dict[str, bytes], asked: list[str]) -> None:
        super().__init__(objects)
        self.asked = asked

    def get(self, md5: str, default: bytes | None = None) -> bytes | None:
        self.asked.append(md5)
        return super().get(md5, default)


def counting() -> Counting:
    registry = memory_registries.sound()
    return Counting(registry.files, registry.objects, registry.releases)


# --- what is looked at ------------------------------------------------------------------------------------------------


def test_only_what_changed_is_looked_at() -> None:
    registry = memory_registries.sound()
    memory_registries.put_dataset(registry, "birds")
    found = registry.gather(Scope.BASE, {"datasets/birds/README.md", "README.md"})
    assert ids(found) == ["datasets/birds"]
    assert [file.path for file in found.files] == ["README.md", "datasets/birds/README.md"]
    assert {str(artifact) for artifact in found.artifacts} == {"datasets/birds", PETS, MODEL}


def test_a_branch_that_changes_a_dataset_looks_at_its_models_too_and_a_commit_does_not() -> None:
    registry = memory_registries.sound()
    found = registry.gather(Scope.BASE, {MANIFEST})
    assert [(str(one.id), one.touched) for one in found.subjects] == [(PETS, True), (MODEL, False)]
    assert ids(registry.gather(Scope.STAGED, {MANIFEST})) == [PETS]


def test_what_was_deleted_is_removed_or_left_behind() -> None:
    registry = memory_registries.sound()
    paths = {path for path in registry.files if path.startswith(PETS)}
    for path in paths:
        del registry.files[path]
    found = registry.gather(Scope.STAGED, paths)
    assert [str(artifact) for artifact in found.removed] == [PETS]
    registry.files[f"{PETS}/README.md"] = b"left"
    found = registry.gather(Scope.STAGED, paths)
    assert (found.removed, found.unknown_folders) == ((), (PETS,))


def test_folders_among_the_artifacts_that_are_none() -> None:
    registry = Registry()
    registry.files |= dict.fromkeys(
        [
            "datasets/Pets/x",
            "datasets/ok/README.md",
            "datasets/README.md",
            "other/Pets/x",
            "models/\u0440ets/model.yaml",
        ],
        b"",
    )
    assert registry.gather().unknown_folders == ("datasets/Pets", "datasets/ok", "models/\u0440ets")


def test_text_files_are_recognized_by_their_bytes() -> None:
    registry = Registry({"text": b"a", "nul": b"a\0b", "large": b"a" * 600_000, "link": b"/etc/passwd"})
    found = registry.gather(links=frozenset({"link"}))
    assert {file.path: (file.is_text, file.is_link) for file in found.files} == {
        "text": (True, False), "nul": (False, False), "large": (False, False), "link": (False, True),
    }  # fmt: skip


# --- releases ---------------------------------------------------------------------------------------------------------


def test_the_latest_release_and_that_of_the_version_itself() -> None:
    registry = memory_registries.sound()
    for version in ("1.2.0", "1.10.0"):
        registry.edit(MANIFEST, version=version)
        registry.release(f"{PETS}@v{version}")
    registry.edit(MANIFEST, version="1.2.0")
    one = subject(registry.gather())
    assert (str(one.releases.latest.tag), str(one.releases.own.tag)) == (f"{PETS}@v1.10.0", f"{PETS}@v1.2.0")
    assert [str(tag.version) for tag in one.releases.tags] == ["1.0.0", "1.2.0", "1.10.0"]


def test_a_release_that_today_s_schema_refuses_is_known_by_its_tag_alone() -> None:
    registry = memory_registries.sound()
    registry.releases[f"{PETS}@v1.0.0"][MANIFEST] = b"schema: 0\n"
    assert subject(registry.gather()).releases.latest.content is None
    registry.releases[f"{PETS}@v1.0.0"] = {}
    assert subject(registry.gather()).releases.latest.content is None


# --- objects ----------------------------------------------------------------------------------------------------------


def test_what_is_published_is_not_read_again() -> None:
    registry = counting()
    registry.gather(Scope.ALL)
    assert registry.asked == []


def test_a_commit_of_words_reads_no_object() -> None:
    registry = counting()
    registry.releases.clear()
    found = registry.gather(Scope.STAGED, {MANIFEST})
    assert registry.asked == []
    assert subject(found).listing is None


def test_a_commit_of_images_reads_the_two_lists_and_nothing_else() -> None:
    registry = counting()
    old = registry.files[POINTER]
    memory_registries.build(registry, "pets", images(12, 10))
    found = registry.gather(Scope.STAGED, {POINTER, f"{PETS}/raw.dvc"})
    lists = [yaml.safe_load(data)["outs"][0]["md5"] for data in (registry.files[POINTER], old)]
    assert registry.asked == lists
    assert subject(found).diff.added == {"train": {"cat": 2}}


def test_a_list_that_no_store_has_is_unread() -> None:
    registry = memory_registries.sound()
    memory_registries.build(registry, "pets", images(12, 10))
    md5 = yaml.safe_load(registry.files[POINTER])["outs"][0]["md5"]
    data = registry.objects.pop(md5)
    one = subject(registry.gather())
    assert (one.listing, one.diff, one.unread) == (None, None, f"object {md5}: {ABSENT}")
    registry.objects[md5] = data + b" "
    assert "checksum mismatch" in subject(registry.gather()).unread


def test_without_the_old_list_the_new_one_is_still_read() -> None:
    registry = memory_registries.sound()
    old = yaml.safe_load(registry.files[POINTER])["outs"][0]["md5"]
    memory_registries.build(registry, "pets", images(12, 10))
    del registry.objects[old]
    one = subject(registry.gather())
    assert total(one.listing.counts) == 22
    assert one.diff is None
    assert old in one.unread


def test_repeated_items_are_not_compared() -> None:
    registry = memory_registries.sound()
    memory_registries.build(registry, "pets", images() | {f"val/dog/{memory_registries.uuid(0)}.jpg": b"x"})
    one = subject(registry.gather())
    assert (total(one.listing.counts), one.diff) == (21, None)


def with_selection(data: bytes) -> DatasetSubject:
    registry = Registry()
    columns = {"uuid": {"type": "uuid"}, "label": {"type": "string"}, "camera": {"type": "string", "nullable": True}}
    memory_registries.put_dataset(
        registry, columns=columns, expectations={"max_null_share": {"camera": 0.5, "gone": 0.1}}
    )
    memory_registries.put_folder(registry, PETS, "raw", {"selection.parquet": data}, {})
    return subject(registry.gather())


def test_the_share_of_rows_without_a_value_comes_from_the_selection(tmp_path: Path) -> None:
    pl.DataFrame({"camera": ["a", None, None, "b"]}).write_parquet(tmp_path / "x")
    assert with_selection((tmp_path / "x").read_bytes()).null_shares == {"camera": 0.5}


def test_a_selection_that_is_not_a_parquet_file_is_unread() -> None:
    assert (
        with_selection(b"nonsense").unread
        == "datasets/pets/raw/selection.parquet is not a valid Parquet file, or is cut off: it has no footer at its end"
    )


# --- the registry's own files -----------------------------------------------------------------------------------------


def test_derived_files_that_are_stale_with_the_first_line_that_differs() -> None:
    registry = memory_registries.sound()
    registry.edit(MANIFEST, owners=["@ana"])
    found = registry.gather(Scope.STAGED, {MANIFEST})
    assert [(stale.path, stale.line) for stale in found.stale] == [("CODEOWNERS", 4), ("README.md", 8)]
    del registry.files["CODEOWNERS"]
    assert [stale.path for stale in registry.gather().stale] == ["CODEOWNERS", "README.md"]
    registry.derive()
    registry.files["CODEOWNERS"] += b"* @evil\n"
    assert [(stale.path, stale.line) for stale in registry.gather().stale] == [("CODEOWNERS", 7)]


def test_a_commit_that_concerns_no_artifact_compares_no_derived_file() -> None:
    registry = memory_registries.sound()
    registry.files["dvc.yaml"] = b"stale"
    assert registry.gather(Scope.STAGED, {"scripts/x.py"}).stale == ()
    assert registry.gather(Scope.BASE, {"scripts/x.py"}).stale != ()


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("registry.yaml", b"schema: 2\n"), ("registry.yaml", b"["), (f"{PETS}/README.md", b"---\na: [\n---\n"),
        (".dvc/config", b"[[["), (".dvc/config", b"[core]\n"), (".dvc/config", b"[core]\n[[x\n"),
        (".dvc/config", b"\xff"),
    ],
)  # fmt: skip
def test_settings_and_front_matter_that_cannot_be_parsed_are_reported_once(path: str, data: bytes) -> None:
    registry = memory_registries.sound()
    registry.files[path] = data
    found = registry.gather()
    assert ([part.path for part in found.unreadable], found.stale) == ([path], ())


def test_a_registry_without_its_settings() -> None:
    registry = memory_registries.sound()
    del registry.files["registry.yaml"]
    assert [part.path for part in registry.gather().unreadable] == ["registry.yaml"]


@pytest.mark.parametrize(
    ("path", "old", "new", "moved"),
    [
        (".dvc/config", b"../.registry/production", b"s3://elsewhere", "the remote production"),
        (".dvc/config", b"[core]", b"['remote \"evil\"']\nurl = s3://evil\n[core]", "the remote evil"),
        (".dvc/config", b"/staging", b"/staging\n    shared = group", "the remote staging"),
        ("registry.yaml", b".registry/lake", b"s3://elsewhere", "the lake"),
    ],
)  # fmt: skip
def test_places_that_point_elsewhere_than_before(path: str, old: bytes, new: bytes, moved: str) -> None:
    registry = memory_registries.sound()
    registry.releases["before"] = dict(registry.files)
    registry.files[path] = registry.files[path].replace(old, new)
    assert registry.gather(Scope.BASE, {path}).storage.moved == {moved: path}
    assert registry.gather(Scope.BASE, {"README.md"}).storage.moved == {}


def test_a_place_that_was_not_there_before_did_not_move() -> None:
    registry = memory_registries.sound()
    assert registry.gather(Scope.BASE, {".dvc/config", "registry.yaml"}).storage.moved == {}


@pytest.mark.parametrize(
    ("section", "changed"),
    [
        (b"[core]\nremote = staging\n", ("core.remote",)),
        (b"[cache]\ndir = /tmp/theirs\n", ("cache.dir",)),
        (b"[plots]\nhtml_template = x.html\n", ("plots.html_template",)),
        (b"# a comment\n", ()), (b"['remote \"staging\"']\nurl = s3://x\njobs = 4\n", ()),
    ],
)  # fmt: skip
def test_settings_of_dvc_that_change_are_named_as_dvc_reads_them(section: bytes, changed: tuple[str, ...]) -> None:
    registry = memory_registries.sound()
    remotes = b"['remote \"staging\"']\nurl = s3://x\n['remote \"production\"']\nurl = s3://y\n"
    registry.releases["before"] = {**registry.files, ".dvc/config": remotes}
    is_staging = b"staging\"']" in section
    rest = remotes.replace(b"['remote \"staging\"']\nurl = s3://x\n", b"") if is_staging else remotes
    registry.files[".dvc/config"] = rest + section
    storage = registry.gather(Scope.BASE, {".dvc/config"}).storage
    assert (storage.reconfigured, storage.moved) == (changed, {})


# --- from a real repository -------------------------------------------------------------------------------------------


@pytest.fixture
def repo(registry_repo: Path) -> Path:
    """A registry on disk in which everything is sound, committed and released."""
    memory_registries.put_on_disk(memory_registries.sound(**memory_registries.REPRODUCIBLE), registry_repo)
    repositories.commit(registry_repo, "sound")
    for tag in (f"{PETS}@v1.0.0", f"{MODEL}@v1.0.0"):
        git.create_tag(registry_repo, tag, "HEAD", tag)
    return registry_repo


def test_a_commit_a_branch_and_everything(repo: Path) -> None:
    repositories.git_in(repo, "switch", "--quiet", "--create", "work")
    (repo / "docs.md").write_text("committed")
    repositories.commit(repo, "docs")
    (repo / "staged.md").write_text("staged")
    repositories.git_in(repo, "add", "staged.md")
    (repo / "new.md").write_text("untracked")
    assert collect.staged(repo).paths == {"staged.md"}
    assert collect.since(repo, "main").paths == {"docs.md", "new.md", "staged.md"}
    assert {"new.md", MANIFEST, "CODEOWNERS"} < collect.everything(repo).paths
    with pytest.raises(NotFound):
        collect.since(repo, "nope")


def test_a_branch_is_compared_with_where_it_began_not_with_where_main_is_now(repo: Path) -> None:
    repositories.git_in(repo, "switch", "--quiet", "--create", "work")
    (repo / "ours.md").write_text("x")
    repositories.commit(repo, "ours")
    repositories.git_in(repo, "switch", "--quiet", "main")
    (repo / "theirs.md").write_text("x")
    repositories.commit(repo, "theirs")
    repositories.git_in(repo, "switch", "--quiet", "work")
    assert collect.since(repo, "main").paths == {"ours.md"}


def test_git_tells_the_same_as_a_dict(repo: Path) -> None:
    with git_trees.History(repo) as history:
        found = collect.gather(collect.everything(repo), history, lambda _: None)
    assert found.complete
    assert [str(one.releases.latest.tag) for one in found.subjects] == [f"{PETS}@v1.0.0", f"{MODEL}@v1.0.0"]
    assert all(one.releases.latest.content == one.content for one in found.subjects)
