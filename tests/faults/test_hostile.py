"""Objects that are missing, damaged or forged: contributors can write staging, and pointers come in pull requests."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from support import model_files, repositories
from support.repositories import Outcome
from support.s3_registry import MODEL, PETS, Scene, World, picture

WEIGHTS = repositories.md5(model_files.named(b"weights of 1.0.0"))
IMAGE = repositories.md5(picture(0))


def key(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def nothing_was_published(world: World) -> bool:
    return world.trace()["tags"] == ({}, {}) and world.wrong_objects() == []


def reports_error(done: Outcome, *words: str) -> bool:
    """Whether a command fails in words, with a next step."""
    said = done.out + done.err
    return done.code == 1 and "hint: " in said and all(word in said for word in words)


@pytest.fixture
def merged(world: World, played: Mapping[str, Scene]) -> World:
    """Everything is pushed, nothing published."""
    world.enter(played["publish"].begin)
    return world


@pytest.fixture
def published(world: World, played: Mapping[str, Scene]) -> World:
    """Everything is published; this clone has no data."""
    world.enter(played["fetch"].begin)
    return world


# --- lost -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("md5", "published"), [(IMAGE, set()), (WEIGHTS, {"datasets/pets@v1.0.0"})])
def test_lost_from_staging_before_it_was_published(merged: World, md5: str, published: set[str]) -> None:
    merged.lose("staging", key(md5))
    assert reports_error(
        merged.run("publish"), "1 object, such as ", "neither in staging (s3://staging) nor in production"
    )
    assert reports_error(merged.run("check", "--all", "--remote"), "missing in staging and production: ")
    assert all(tags.keys() == published for tags in merged.trace()["tags"])
    assert merged.broken_promises() == []
    merged.must("push")  # this machine has it
    merged.must("publish")
    assert merged.broken_promises() == []


def test_lost_from_staging_after_it_was_published(published: World) -> None:
    published.fill({**{name: published.contents(name) for name in ("lake", "production")}, "staging": {}})
    published.must("pull", "--rev", "HEAD")
    published.must("check", "--all", "--remote")
    assert published.run("publish").code == 0
    assert published.wrong_objects() == []


@pytest.mark.parametrize("md5", [IMAGE, WEIGHTS])
def test_lost_from_production(published: World, md5: str) -> None:
    published.lose("production", key(md5))
    assert published.broken_promises() != []
    assert reports_error(published.run("fsck"), f"s3://production/{key(md5)} is missing")
    published.must("pull", "--rev", "HEAD")  # staging has it still
    published.must("fsck", "--repair", "staging")
    assert published.broken_promises() == []


# --- damaged, or put there by another ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [model_files.named(b"weights of 6.6.6"), b"w", b""], ids=["as long", "shorter", "empty"]
)
def test_a_wrong_body_under_a_right_name_in_staging(merged: World, body: bytes) -> None:
    merged.put("staging", key(WEIGHTS), body)
    assert reports_error(merged.run("publish"), f"s3://staging/{key(WEIGHTS)}", "checksum mismatch")
    assert merged.get("production", key(WEIGHTS)) is None
    assert all(tags.keys() == {"datasets/pets@v1.0.0"} for tags in merged.trace()["tags"])


def test_a_wrong_body_does_not_come_into_a_cache(merged: World) -> None:
    merged.put("staging", key(IMAGE), picture(99))
    cached = merged.root / ".dvc/cache" / key(IMAGE)
    cached.unlink()
    assert reports_error(merged.run("pull", "--rev", "HEAD"), "1 corrupt", key(IMAGE))
    assert not cached.exists()


def test_a_wrong_list_of_files(merged: World) -> None:
    md5 = yaml.safe_load((merged.root / PETS / "prepared.dvc").read_text())["outs"][0]["md5"]
    merged.put("staging", key(md5), json.dumps([{"md5": WEIGHTS, "relpath": "train/cat/0.jpg"}]).encode())
    for command in (("publish",), ("check", "--all", "--remote")):
        assert reports_error(merged.run(*command), "checksum mismatch")
    assert merged.trace()["tags"] == ({}, {})


def test_a_damaged_object_of_production(published: World) -> None:
    published.put("production", key(WEIGHTS), model_files.named(b"weights of 6.6.6"))
    assert reports_error(published.run("fsck", "--deep"), f" s3 rm s3://production/{key(WEIGHTS)}")
    published.must("pull", "--rev", "HEAD")  # the sound one, of staging
    assert (published.root / ".dvc/cache" / key(WEIGHTS)).read_bytes() == model_files.named(b"weights of 1.0.0")


# --- lists of files that lie ------------------------------------------------------------------------------------------

LISTS = {
    "a folder above": json.dumps([{"md5": WEIGHTS, "relpath": "../../../escaped"}]),
    "an absolute path": json.dumps([{"md5": WEIGHTS, "relpath": "/tmp/escaped"}]),
    "a path of Windows": json.dumps([{"md5": WEIGHTS, "relpath": "..\\..\\escaped"}]),
    "Git's own folder": json.dumps([{"md5": WEIGHTS, "relpath": "train/.git/hooks/pre-commit"}]),
    "one name twice": json.dumps([{"md5": WEIGHTS, "relpath": "a"}, {"md5": IMAGE, "relpath": "a"}]),
    "a file as a folder": json.dumps([{"md5": WEIGHTS, "relpath": "a"}, {"md5": IMAGE, "relpath": "a/b"}]),
    "a name that is no MD5": json.dumps([{"md5": "../../secrets", "relpath": "a"}]),
    "a key that DVC does not know": json.dumps([{"md5": WEIGHTS, "relpath": "a", "url": "http://example.com"}]),
    "an object": json.dumps({"md5": WEIGHTS, "relpath": "a"}),
    "half of it": json.dumps([{"md5": WEIGHTS, "relpath": "a"}])[:-5],
    "no JSON": "\x00\x01",
}


def outside(world: World) -> set[Path]:
    """All but what Git and DVC keep, and the server, which writes files of its own at any time."""
    tops = (top for top in world.folder.iterdir() if top != world.server.folder)
    found = {path for top in tops for path in (top, *top.rglob("*"))}
    return {path for path in found if ".dvc" not in path.parts and ".git" not in path.parts}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_files_that_lies(merged: World, name: str) -> None:
    """It is what its name says, and a pointer that was merged names it."""
    body = LISTS[name].encode()
    md5 = f"{repositories.md5(body)}.dir"
    merged.put("staging", key(md5), body)
    pointer = merged.root / PETS / "prepared.dvc"
    content = yaml.safe_load(pointer.read_text())
    content["outs"][0] |= {"md5": md5, "nfiles": 1, "size": 16}
    pointer.write_text(yaml.safe_dump(content, sort_keys=False))
    repositories.commit(merged.root, "a pointer of mine")
    repositories.git_in(merged.root, "push", "--quiet", "origin", "main")
    before = outside(merged)
    for command in (("publish", PETS), ("check", "--all", "--remote"), ("pull", PETS), ("push",)):
        done = merged.run(*command)
        assert reports_error(done), f"{command}: {done.out}{done.err}"
    assert outside(merged) == before
    assert nothing_was_published(merged)
    assert merged.get("production", key(md5)) is None


def test_a_model_that_names_data_of_no_dataset(merged: World) -> None:
    lock = merged.root / MODEL / "dvc.lock"
    lock.write_text(lock.read_text().replace(WEIGHTS, repositories.md5(b"of no dataset")))
    repositories.commit(merged.root, "other weights")
    for command in (("push",), ("check", "--all", "--remote"), ("pull", MODEL)):
        assert reports_error(merged.run(*command), "models/pets")
