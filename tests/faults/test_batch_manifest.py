"""`publish --plan-csv`: a job of S3 Batch Operations makes the copies, the publish after it proves them."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from registry.core.settings import Remote
from registry.errors import Refused
from registry.release import batch_manifest
from registry.storage.base import Store
from registry.storage.open import open_store
from registry.sync import inventory
from support import pages
from support.s3_registry import Scene, World


def run_job(world: World, manifest: Path) -> list[str]:
    """What AWS does with a manifest: a copy of each object under the same key. Returns the keys."""
    rows = [line.split(",") for line in manifest.read_text().splitlines()]
    for bucket, key in rows:
        assert bucket == "staging"
        world.put("production", unquote(key), world.get("staging", unquote(key)) or b"")
    return [unquote(key) for _, key in rows]


def test_a_job_copies_and_the_publish_proves(world: World, played: Mapping[str, Scene], tmp_path: Path) -> None:
    scene, manifest = played["publish"], tmp_path / "copies.csv"
    world.enter(scene.begin)
    said = world.must("publish", "--plan-csv", str(manifest)).out
    assert 'operation of the job: {"S3PutObjectCopy":{"TargetResource":"arn:aws:s3:::production"}}\n' in said
    assert world.contents("production") == {}
    copied = run_job(world, manifest)
    assert f"{manifest}: {len(copied)} objects to copy, as S3BatchOperations_CSV_20180820 (Bucket, Key)\n" in said
    staged = {key for key in world.listed("staging") if not key.endswith(".dir")}
    assert {*copied} == staged & {*scene.end["production"]}
    world.proxy.clear()
    assert "published: 2 objects copied to production" in world.must("publish").out
    assert world.trace() == scene.end


def test_a_corrupt_copy_is_found_by_the_publish(world: World, played: Mapping[str, Scene], tmp_path: Path) -> None:
    """A job copies whatever lies there by then."""
    scene, manifest = played["publish"], tmp_path / "copies.csv"
    world.enter(scene.begin)
    world.must("publish", "--plan-csv", str(manifest))
    key = run_job(world, manifest)[0]
    world.put("production", key, b"something else")
    assert world.run("publish").refused("not published: ", key)
    assert world.broken_promises() == []


def make(staging: Store, production: Store, *rows: tuple[str, bool, int | None]) -> batch_manifest.BatchManifest:
    listed = [{"md5": md5, "is_dir": is_dir, "size": size} for md5, is_dir, size in rows]
    found = inventory.DataFrame(listed, schema=inventory.SCHEMA)
    step = SimpleNamespace(found=found, copy=found["md5"])
    return batch_manifest.make(SimpleNamespace(steps=[step]), staging, production)


def test_keys_are_encoded_and_large_objects_left_to_the_publish(tmp_path: Path) -> None:
    staging, production = (
        open_store(Remote(f"s3://{name}"), tmp_path) for name in ("team-staging/a b+ü", "production/x/a b+ü")
    )
    made = make(
        staging, production, ("0" * 32, False, None), ("1" * 32, False, 6 * 10**9), (f"{'2' * 32}.dir", True, 9)
    )
    assert made.text == f"team-staging,a%20b%2B%C3%BC/files/md5/00/{'0' * 30}\n"
    assert (made.count, made.operation) == (
        1, '{"S3PutObjectCopy":{"TargetResource":"arn:aws:s3:::production","TargetKeyPrefix":"x"}}'
    )  # fmt: skip


@pytest.mark.parametrize(
    ("staging", "production", "prefix"),
    [("s", "p", ""), ("s", "p/data", "data"), ("s/data", "p/data", ""), ("s/data", "p/old/data", "old")],
)
def test_prefixes(tmp_path: Path, staging: str, production: str, prefix: str) -> None:
    stores = [open_store(Remote(f"s3://{place}"), tmp_path) for place in (staging, production)]
    assert make(*stores).prefix == prefix


@pytest.mark.parametrize(
    ("staging", "production", "words"),
    [
        ("s3://s/data", "s3://p", "not take data/ of staging away"),
        ("folder", "s3://p", "is not in S3"),
        ("s3://s", "gs://p", "is not in S3"),
    ],
)
def test_places_that_no_job_copies_between(tmp_path: Path, staging: str, production: str, words: str) -> None:
    stores = [open_store(Remote(place), tmp_path) for place in (staging, production)]
    with pytest.raises(Refused, match=words) as refused:
        make(*stores)
    assert refused.value.fix == "leave --plan-csv out: a publish copies by itself"


def test_the_job_of_the_page_is_one_that_s3_takes() -> None:
    typed = [one.text for one in pages.commands("docs/cluster.md")]
    [command] = [text for text in typed if text.startswith("aws s3control create-job")]
    words = [word for word in shlex.split(command)[3:] if word != "--confirmation-required"]
    given = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    documents = {name.title(): json.loads(given[name]) for name in ("operation", "report", "manifest")}
    rest = {"Priority": int(given["priority"]), "AccountId": given["account-id"], "RoleArn": given["role-arn"]}
    job = {"ClientRequestToken": "once", **rest, **documents}
    model = Session().get_service_model("s3control").operation_model("CreateJob")
    assert not ParamValidator().validate(job, model.input_shape).has_errors()
    assert job["Manifest"]["Spec"]["Format"] == batch_manifest.FORMAT
