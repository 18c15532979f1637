"""The commands on S3: build, check and publish move few bytes, and give what folders give."""

import io
from pathlib import Path

import pytest
import yaml
from botocore.client import BaseClient
from PIL import Image

from registry.core.digests import object_key
from registry.dataset import build
from registry.storage import ingest as s3_ingest
from registry.storage.ingest import SAMPLE
from support import release_auditor, repositories
from support.odd_images import ODD, SOUND
from support.repositories import Run, md5
from support.s3_places import Places, count_copies
from support.servers import fault_proxy
from support.servers.fault_proxy import Fault, FaultProxy
from support.servers.http_wire import Request
from support.servers.resigning import ABSENT, EVERY, SOURCE, Ignoring

pytestmark = pytest.mark.s3


MANIFEST = """\
schema: 1
name: pets
version: 1.0.0
title: Pets
description: Pets at home.
owners: ["@acme/vision"]
license: CC-BY-4.0
source: {export: {description: by hand}}
image: "photos/{uuid}.jpg"
columns: {uuid: {type: uuid}, label: {type: string}}
classes: [cat, dog]
split: {salt: pets, ratios: {train: 0.6, val: 0.2, test: 0.2}}
"""


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012x}"


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 9), (number, 7, 0)).save(out, "JPEG", comment=b"%d" % number)
    return out.getvalue()


@pytest.fixture
def desk(registry_repo: Path, run_registry: Run, places: Places, client: BaseClient) -> Path:
    """A registry on S3 whose lake has 40 photos, all of them selected; another lake is a folder with the same."""
    pets, lake = registry_repo / "datasets/pets", registry_repo / ".registry/lake/photos"
    pets.mkdir(parents=True)
    lake.mkdir(parents=True)
    (pets / "dataset.yaml").write_text(MANIFEST)
    for number in range(40):
        client.put_object(Bucket="lake", Key=f"{places.folder}/photos/{uuid(number)}.jpg", Body=picture(number))
        (lake / f"{uuid(number)}.jpg").write_bytes(picture(number))
    rows = [f"{uuid(number)},{['cat', 'dog'][number % 2]}\n" for number in range(40)]
    (registry_repo / "export.csv").write_text("uuid,label\n" + "".join(rows))
    assert run_registry(registry_repo, "select", "datasets/pets", "--from", "export.csv").code == 0
    edit(registry_repo / "registry.yaml", ".registry/lake", places.lake.url)
    places.use(client)
    for store in (places.staging, places.production):
        edit(registry_repo / ".dvc/config", f"../.registry/{store.url.split('/')[2]}", store.url)
    return registry_repo


def edit(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def images_read(proxy: FaultProxy) -> tuple[int, int]:
    """How many images were read, and their bytes."""
    sizes = {md5(picture(number)): len(picture(number)) for number in range(40)}
    found = [one for one in proxy.exchanges if one.kind == "get"]
    images = [one for one in found if one.key.endswith(".jpg") or "".join(one.key.split("/")[-2:]) in sizes]
    return len(images), sum(one.received for one in images)


def test_a_build_reads_a_sample_and_the_images_check_the_rest(
    desk: Path, run_registry: Run, proxy: FaultProxy, client: BaseClient, places: Places
) -> None:
    broken = picture(7)[:-20]
    client.put_object(Bucket="lake", Key=f"{places.folder}/photos/{uuid(7)}.jpg", Body=broken)
    proxy.clear()
    built = run_registry(desk, "build", "datasets/pets")
    assert built.out.startswith(
        "40 images: 0 validated before, 8 validated now, 32 not validated, 40 new in staging (25.5 kB)\n"
        "32 images were copied server-side and not validated; run `registry check --images`\n"
    )
    count, size = images_read(proxy)
    assert (count, size // len(picture(1))) == (SAMPLE, SAMPLE)
    assert count_copies(proxy) == 32
    run_registry(desk, "check", "--fix")
    proxy.clear()
    checked = run_registry(desk, "check", "--images")
    assert f"{uuid(7)}.jpg: truncated" in checked.out
    # Without the truncated one, and those of the sample that were old enough to be recorded.
    assert images_read(proxy)[0] in range(31, 40)
    proxy.clear()
    again = run_registry(desk, "check", "--images")
    assert f"{uuid(7)}.jpg: truncated" in again.out
    assert images_read(proxy)[0] == 0
    assert "hint: registry build datasets/pets --exclude-faulty" in again.out
    assert "added 1 faulty image to exclude:" in run_registry(desk, "build", "datasets/pets", "--exclude-faulty").out
    assert "not sound" not in run_registry(desk, "check", "--images").out


def test_every_odd_file_that_was_copied_without_validation_is_named(
    desk: Path, run_registry: Run, client: BaseClient, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jpg, png and webp side by side, copied inside S3; then the next step that is printed leaves out the odd ones."""
    edit(desk / "datasets/pets/dataset.yaml", "photos/{uuid}.jpg", "photos/{uuid}.*")
    distinct = {
        file.data: file for file in (*SOUND.values(), *ODD.values()) if file.data
    }  # the listing rules out others
    files = {100 + number: file for number, file in enumerate(distinct.values())}
    for number, file in files.items():
        key = f"{places.folder}/photos/{uuid(number)}.{file.ending}"
        client.put_object(Bucket="lake", Key=key, Body=file.data)
    rows = [f"{uuid(number)},{['cat', 'dog'][number % 2]}\n" for number in (*range(40), *files)]
    (desk / "export.csv").write_text("uuid,label\n" + "".join(rows))
    run_registry(desk, "select", "datasets/pets", "--from", "export.csv")
    monkeypatch.setattr(s3_ingest, "SAMPLE", 0)
    assert run_registry(desk, "build", "datasets/pets").code == 0
    run_registry(desk, "check", "--fix")
    odd = {uuid(number): file.fault for number, file in files.items() if file.fault}
    assert f"{len(odd)} images failed validation" in run_registry(desk, "check", "--images").out
    assert "added" in run_registry(desk, "build", "datasets/pets", "--exclude-faulty").out
    reasons = yaml.safe_load((desk / "datasets/pets/dataset.yaml").read_text())["exclude"]
    assert reasons.keys() == odd.keys()
    assert [reason for name, reason in reasons.items() if odd[name] not in reason] == []
    assert run_registry(desk, "check", "--images").code == 0


def test_a_build_on_s3_gives_the_pointer_of_a_build_in_folders(desk: Path, run_registry: Run, places: Places) -> None:
    assert run_registry(desk, "build", "datasets/pets").code == 0
    pointer = desk / "datasets/pets/prepared.dvc"
    on_s3 = pointer.read_bytes()
    pointer.unlink()
    edit(desk / "registry.yaml", places.lake.url, ".registry/lake")
    built = run_registry(desk, "build", "datasets/pets")
    assert built.out.startswith("40 images: 0 validated before, 40 validated now, 0 new in staging")
    assert pointer.read_bytes() == on_s3


def test_images_that_the_listing_rules_out_are_not_read(
    desk: Path,
    run_registry: Run,
    proxy: FaultProxy,
    client: BaseClient,
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build.image_formats, "MAX_BYTES", 2000)
    for number, body in ((3, b""), (4, picture(4) + bytes(2000))):
        client.put_object(Bucket="lake", Key=f"{places.folder}/photos/{uuid(number)}.jpg", Body=body)
    proxy.clear()
    done = run_registry(desk, "build", "datasets/pets")
    assert f"{uuid(3)} (photos/{uuid(3)}.jpg): empty file\n" in done.err
    assert f"photos/{uuid(4)}.jpg): file has {len(picture(4)) + 2000:,} bytes, the limit is 2,000\n" in done.err
    assert not [one for one in proxy.exchanges if one.kind == "get" and uuid(3)[:-1] in one.key and one.key[-5] in "34"]
    assert not (desk / "datasets/pets/prepared.dvc").exists()


def test_publish_copies_inside_the_store_and_a_second_run_makes_few_requests(
    desk: Path, run_registry: Run, proxy: FaultProxy, client: BaseClient, places: Places
) -> None:
    assert run_registry(desk, "build", "datasets/pets").code == 0
    repositories.commit(desk, "pets")
    proxy.clear()
    done = run_registry(desk, "publish")
    assert (
        done.out.splitlines()[-1]
        == "published: 46 objects copied to production, 0 bytes transferred through this machine"
    )
    assert (count_copies(proxy), proxy.counts()["put"]) == (46, 2), "the two are the manifest and its list of files"
    assert set(places.production.list("files")["key"]) == set(places.staging.list()["key"])
    assert list(release_auditor.releases(desk)) == ["datasets/pets@v1.0.0"]
    proxy.clear()
    assert run_registry(desk, "publish").out == "datasets/pets@v1.0.0: already published\n"
    assert sum(proxy.counts().values()) <= 3


def test_a_wrong_body_in_staging_is_reported_and_nothing_is_tagged(
    desk: Path, run_registry: Run, client: BaseClient, places: Places
) -> None:
    assert run_registry(desk, "build", "datasets/pets").code == 0
    repositories.commit(desk, "pets")
    victim = md5(picture(5))
    places.stage(client, victim, picture(6)[: len(picture(5))])
    done = run_registry(desk, "publish")
    assert done.refused(f"{places.staging.url}/{object_key(victim)}: checksum mismatch")
    assert release_auditor.releases(desk) == {}
    assert not places.production.has(object_key(victim))


@pytest.mark.parametrize("ignored", [SOURCE, SOURCE | ABSENT, EVERY], ids=["source", "both", "every"])
def test_no_server_brings_a_wrong_body_into_production(
    desk: Path,
    run_registry: Run,
    client: BaseClient,
    places: Places,
    proxy: FaultProxy,
    ignore: Ignoring,
    ignored: frozenset[str],
) -> None:
    """Also when the object is replaced at the last moment. What is printed mends it, with a contributor's rights."""
    proxy.add(Fault(ignore(ignored), times=None))
    assert run_registry(desk, "build", "datasets/pets").code == 0
    repositories.commit(desk, "pets")
    victim, late = md5(picture(5)), md5(picture(6))
    places.stage(client, victim, picture(7)[: len(picture(5))])

    def replace(request: Request) -> bool:
        if request.kind in {"copy", "put"} and request.bucket == "production":
            places.stage(client, late, picture(8))
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, replace))
    assert run_registry(desk, "publish").refused("checksum mismatch", "registry push --deep", places.staging.url)
    bodies = {key: places.production.get(key) for key in places.production.list()["key"]}
    assert [key for key, body in bodies.items() if "".join(key.split("/")[-2:]).removesuffix(".dir") != md5(body)] == []
    assert release_auditor.releases(desk) == {}
    proxy.clear()
    proxy.add(Fault(ignore(ignored), times=None))
    assert run_registry(desk, "build", "datasets/pets").code == 0
    assert run_registry(desk, "push", "--deep").code == 0
    assert run_registry(desk, "publish").code == 0
    assert (
        release_auditor.broken_promises(desk, release_auditor.in_bucket(client, "production", places.folder + "/"))
        == []
    )


def test_a_lake_image_that_is_replaced_under_way_is_taken_as_it_is(
    desk: Path, run_registry: Run, client: BaseClient, places: Places, proxy: FaultProxy, ignore: Ignoring
) -> None:
    """The server ignores the condition on the source's ETag: the object has the name of the bytes that it holds."""

    def replace(request: Request) -> bool:
        if request.kind == "head" and request.bucket == "staging":
            for number in range(40):
                key = f"{places.folder}/photos/{uuid(number)}.jpg"
                client.put_object(Bucket="lake", Key=key, Body=picture(number + 100))
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, replace), Fault(ignore(SOURCE), times=None))
    assert run_registry(desk, "build", "datasets/pets").code == 0
    staged = places.staged(client)
    assert [name for name, content in staged.items() if name.removesuffix(".dir") != content] == []
