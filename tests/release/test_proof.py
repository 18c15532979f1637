"""The chain of proofs of a release: tag, manifest, files, attestation; each link is tampered with, and found."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.release import release_manifests
from support import attestations, repositories
from support.repositories import Run, origin, production, staging

TAG = "datasets/pets@v1.0.0"
CAT = "train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
# Two messages with one MD5, 79054025255fb1a26e4bc422aef54eb4: Wang, Feng, Lai, Yu, Eurocrypt 2004.
COLLISION = (
    "d131dd02c5e6eec4693d9a0698aff95c2fcab5{}12467eab4004583eb8fb7f8955ad340609f4b30283e4888325{}415a085125e8f7cdc99fd91dbd{}"
    "80373c5bd8823e3156348f5bae6dacd436c919c6dd53e2{}87da03fd02396306d248cda0e99f33420f577ee8ce54b67080{}0d1ec69821bcb6a8839396f965{}6ff72a70"
)
GOOD = bytes.fromhex(COLLISION.format("87", "71", "f2", "b4", "a8", "2b"))
EVIL = bytes.fromhex(COLLISION.format("07", "f1", "72", "34", "28", "ab"))


def manifest_file(root: Path, suffix: str = ".json") -> Path:
    """An object of the dataset's release manifest in production."""
    (found,) = (production(root) / "releases/datasets/pets/1.0.0").glob(f"*{suffix}")
    return found


def line(out: str, name: str) -> str:
    """The line of a link."""
    (found,) = (text for text in out.splitlines() if text.startswith(f"{name}: "))
    return found


def rewrite(file: Path, data: bytes) -> None:
    file.chmod(0o644)
    file.write_bytes(data)


# --- what is published ------------------------------------------------------------------------------------------------


def test_the_manifest_has_every_file_and_is_valid(released_model: Path) -> None:
    manifest = release_manifests.parse(manifest_file(released_model).read_bytes(), "release.json")
    rows = [json.loads(text) for text in manifest_file(released_model, ".files.jsonl").read_text().splitlines()]
    prepared = released_model / "datasets/pets/prepared"
    expected = [path.relative_to(released_model).as_posix() for path in prepared.rglob("*") if path.is_file()]
    assert [row["path"] for row in rows] == sorted([*expected, "datasets/pets/raw/selection.parquet"])
    assert (manifest.count, manifest.unhashed, str(manifest.tag)) == (9, 0, TAG)
    assert manifest.size == sum(row["size"] for row in rows)
    facts = json.loads(manifest.data)
    assert facts["counts"]["train"] == {"cat": 2, "dog": 1}
    assert facts["selection"]["rows"] == 5
    model = next((production(released_model) / "releases/models/pets").rglob("*.json"))
    assert json.loads(model.read_bytes())["metrics"]["accuracy"] == 1.0


def test_the_next_release_reads_only_what_is_new(released_model: Path, run_registry: Run) -> None:
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.merge(released_model, "more pets")
    done = run_registry(released_model, "publish", "datasets/pets")
    # An image, the table of its split, the selection.
    assert "hashed: 3 objects of production, " in done.out
    assert "SHA-256 of 10 files" in run_registry(released_model, "verify", "datasets/pets@v1.1.0").out


def test_no_object_is_read_for_its_sha256_alone_where_that_is_not_wanted(merged_model: Path, run_registry: Run) -> None:
    assert "hashed: " not in run_registry(merged_model, "publish", "--md5-only").out
    done = run_registry(merged_model, "verify", TAG, str(merged_model / "datasets/pets/prepared"))
    assert "it has the SHA-256 of 0 files, and the MD5 alone of 9" in line(done.out, "manifest")
    assert done.out.endswith("8 files intact, SHA-256 of 0 files as in the manifest\n")


def test_other_bytes_under_the_name_of_a_manifest_stop_its_tag(merged_model: Path, run_registry: Run) -> None:
    """A writer of production was first; nothing of ours overwrites it."""
    assert run_registry(merged_model, "publish", "datasets/pets").code == 0
    rewrite(manifest_file(merged_model), b"{}\n")
    for root in (merged_model, origin(merged_model)):
        repositories.git_in(root, "tag", "--delete", TAG)
    done = run_registry(merged_model, "publish", "datasets/pets")
    assert done.refused("content does not match its SHA-256", "ask an administrator to delete that object")
    assert repositories.git_in(merged_model, "tag") == ""


# --- proved, and not checked ------------------------------------------------------------------------------------------


def test_every_link_is_told(released_model: Path, run_registry: Run) -> None:
    done = run_registry(released_model, "verify", TAG, str(released_model / "datasets/pets/prepared"))
    assert done.code == 0, done.err
    assert "not checked: it is not signed" in line(done.out, "tag")
    assert line(done.out, "manifest").endswith("is what the tag names; it has the SHA-256 of 9 files")
    assert "not checked: name its bundle" in line(done.out, "attestation")
    assert done.out.endswith("prepared: 8 files intact, SHA-256 of 8 files as in the manifest\n")


def test_a_storage_that_cannot_be_read_proves_nothing_and_is_not_wrong(released_model: Path, run_registry: Run) -> None:
    for store in (staging(released_model), production(released_model)):
        shutil.rmtree(store)
    done = run_registry(released_model, "verify", TAG)
    assert done.code == 0
    assert "manifest: not checked: it could not be read: " in done.out
    assert "\n  hint: " in done.out


def test_a_tag_that_was_made_by_hand_names_no_manifest(merged_model: Path, run_registry: Run) -> None:
    repositories.git_in(merged_model, "tag", "--annotate", "--message", "by hand", TAG)
    assert "not checked: the tag names none" in line(run_registry(merged_model, "verify", TAG).out, "manifest")


# --- wrong ------------------------------------------------------------------------------------------------------------


def move_tag(root: Path) -> None:
    """The same message on another commit."""
    message = repositories.git_in(root, "tag", "--list", "--format=%(contents)", TAG)
    repositories.commit(root, "another")
    repositories.git_in(root, "tag", "--force", "--annotate", "--message", message, TAG)


def rename_tag(root: Path) -> None:
    repositories.git_in(root, "tag", "--annotate", "--message", "another", "other")
    repositories.git_in(root, "update-ref", f"refs/tags/{TAG}", "refs/tags/other")


def swap_manifest(root: Path) -> None:
    """The tag names the manifest of a model, which production has."""
    sha256 = next((production(root) / "releases/models/pets").rglob("*.json"))
    place = production(root) / "releases/datasets/pets/1.0.0" / sha256.name
    place.write_bytes(sha256.read_bytes())
    repositories.git_in(root, "tag", "--force", "--annotate", "-m", f"x\n\nmanifest: sha256:{sha256.stem}", TAG)


def respell(root: Path) -> None:
    """Another form of the same JSON, which the tag names."""
    data = json.dumps(json.loads(manifest_file(root).read_bytes()), indent=2).encode()
    sha256 = release_manifests.hash_of(data)
    (manifest_file(root).parent / f"{sha256}.json").write_bytes(data)
    repositories.git_in(root, "tag", "--force", "--annotate", "-m", f"x\n\nmanifest: sha256:{sha256}", TAG)


def change_manifest(root: Path) -> None:
    rewrite(manifest_file(root), manifest_file(root).read_bytes().replace(b"Pets at home", b"Pets at Home"))


def change_list(root: Path) -> None:
    file = manifest_file(root, ".files.jsonl")
    rewrite(file, file.read_bytes().replace(b'"size":7', b'"size":8'))


def lose_manifest(root: Path) -> None:
    manifest_file(root).unlink()


def lose_list(root: Path) -> None:
    manifest_file(root, ".files.jsonl").unlink()


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "the tag moved": (move_tag, "manifest: wrong: the tag is on "),
    "the tag is another one's": (rename_tag, f"tag: wrong: refs/tags/{TAG} has the tag other"),
    "another manifest": (swap_manifest, "manifest: wrong: it is the manifest of models/pets@v1.0.0"),
    "another form": (respell, "not in the canonical form of a release manifest"),
    "the manifest changed": (change_manifest, "SHA-256 is "),
    "the list changed": (change_list, "SHA-256 is "),
    "the manifest is gone": (lose_manifest, "is in no storage that can be read"),
    "the list is gone": (lose_list, "is in no storage that can be read"),
}


@pytest.mark.parametrize(("tamper", "words"), TAMPERED.values(), ids=TAMPERED)
def test_tampering_is_found(
    tamper: Callable[[Path], None], words: str, released_model: Path, run_registry: Run
) -> None:
    tamper(released_model)
    done = run_registry(released_model, "verify", TAG)
    assert done.refused(f"{TAG} is not as it was published", words), done.err
    assert words in done.out


def test_a_file_with_the_same_md5_and_other_content(released_model: Path, run_registry: Run, tmp_path: Path) -> None:
    """The proof that MD5, which DVC names objects by, cannot give."""
    assert GOOD != EVIL
    assert repositories.md5(GOOD) == repositories.md5(EVIL)
    repositories.dataset(released_model, "pets", {**repositories.PETS, CAT: GOOD}, "1.1.0")
    repositories.merge(released_model, "an image that has a double")
    assert run_registry(released_model, "publish", "datasets/pets").code == 0
    fetched = tmp_path / "fetched"
    shutil.copytree(released_model / "datasets/pets/prepared", fetched)
    tag = "datasets/pets@v1.1.0"
    assert run_registry(released_model, "verify", tag, str(fetched)).code == 0
    rewrite(fetched / CAT, EVIL)
    done = run_registry(released_model, "verify", tag, str(fetched))
    assert done.refused("same MD5, other content", f"{CAT}: SHA-256 is ")
    alone = run_registry(released_model, "verify", tag, str(fetched / CAT))
    assert alone.refused("same MD5, other content")


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def signed(merged_model: Path, run_registry: Run, tmp_path: Path) -> Path:
    """`merged_model`, published with signed tags; `tmp_path/allowed` and `unknown` list the signer, and another."""
    for name in ("key", "other"):
        done = repositories.sh(tmp_path, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name)
        assert done.returncode == 0, done.stderr
    for name, allowed in (("key", "allowed"), ("other", "unknown")):
        (tmp_path / allowed).write_text(f"ann@acme.org {(tmp_path / f'{name}.pub').read_text()}")
    settings = {"gpg.format": "ssh", "user.signingKey": str(tmp_path / "key.pub"), "tag.gpgSign": "true"}
    for name, value in settings.items():
        repositories.git_in(merged_model, "config", name, value)
    assert run_registry(merged_model, "publish").code == 0
    return merged_model


def test_tags_are_signed_where_git_is_configured_to(signed: Path, run_registry: Run, tmp_path: Path) -> None:
    good = run_registry(signed, "verify", TAG, "--allowed-signers", str(tmp_path / "allowed"))
    assert (good.code, line(good.out, "tag")) == (0, "tag: proved: its signature is good")
    assert line(good.out, "manifest").startswith("manifest: proved: ")
    unknown = run_registry(signed, "verify", TAG)
    assert unknown.code == 0
    assert "not checked: its signature needs keys (--allowed-signers FILE, or gpg)" in line(unknown.out, "tag")
    other = run_registry(signed, "verify", TAG, "--allowed-signers", str(tmp_path / "unknown"))
    assert other.refused("its key is not among the allowed signers")


def test_a_signed_tag_that_was_changed(signed: Path, run_registry: Run, tmp_path: Path) -> None:
    tag = repositories.git_in(signed, "cat-file", "tag", TAG)
    (tmp_path / "tag").write_text(f"{tag}\n".replace("Pets at home", "Pets at work"))
    with (tmp_path / "tag").open() as file:
        made = subprocess.run(["git", "mktag"], cwd=signed, stdin=file, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    repositories.git_in(signed, "update-ref", f"refs/tags/{TAG}", made.stdout.strip())
    done = run_registry(signed, "verify", TAG, "--allowed-signers", str(tmp_path / "allowed"))
    assert done.refused("tag: wrong: its signature is not good: ", "Signature verification failed")


# --- attestations -----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_github(released_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`released_model`, whose clone says that it is acme/data on GitHub."""
    monkeypatch.setenv("GH_REPO", "acme/data")
    return released_model


@pytest.mark.parametrize("content", [b"", b"{}", b'{"dsseEnvelope": {"payload": "e30="}}', b"[" * 100_000])
def test_what_is_no_bundle(content: bytes, on_github: Path, run_registry: Run, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(content)
    done = run_registry(on_github, "verify", TAG, "--bundle", str(tmp_path / "bundle.json"))
    assert done.refused("attestation: wrong: ", "bundle.json: not a bundle of attestations")


def test_a_bundle_about_another_file(on_github: Path, run_registry: Run, tmp_path: Path) -> None:
    done = run_registry(on_github, "verify", TAG, "--bundle", str(attestations.bundle(tmp_path, "0" * 64)))
    assert done.refused("attestation: wrong: ", "bundle.json is about other files than this manifest")


def test_a_bundle_that_gh_cannot_judge_offline(on_github: Path, run_registry: Run, tmp_path: Path) -> None:
    (tmp_path / "root.jsonl").write_text("{}\n")
    file = attestations.bundle(tmp_path, manifest_file(on_github).stem)
    done = run_registry(on_github, "verify", TAG, "--bundle", str(file), "--trusted-root", str(tmp_path / "root.jsonl"))
    assert done.code == 0
    assert "not checked: no trusted root in " in line(done.out, "attestation")
