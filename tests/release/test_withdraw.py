"""Withdrawing: one line in the manifest, the rest as a person wrote it, and only for what was released."""

from pathlib import Path

import pytest

from support import repositories
from support.repositories import Run

MANIFEST = "datasets/pets/dataset.yaml"


def test_the_reason_goes_into_the_manifest_and_comments_stay(released_model: Path, run_registry: Run) -> None:
    manifest = released_model / MANIFEST
    before = "# ours\n" + manifest.read_text().replace("license:", "# as agreed\nlicense:")
    manifest.write_text(before)
    done = run_registry(released_model, "withdraw", "datasets/pets", "v1.0.0", "--why", " labels: were swapped ")
    assert (done.code, manifest.read_text()) == (0, f"{before}withdrawn:\n  1.0.0: 'labels: were swapped'\n")
    assert "git commit -m 'Withdraw datasets/pets 1.0.0'" in done.out
    assert "open a pull request" in done.out
    shown = run_registry(released_model, "list").out
    assert "\n  1.0.0 withdrawn; used by models/pets\n" in shown
    assert "\n      withdrawn: labels: were swapped\n" in shown
    assert "[withdrawn]" not in run_registry(released_model, "check").out
    again = run_registry(released_model, "withdraw", "datasets/pets", "1.0.0", "--why", "labels: were swapped")
    assert (again.code, again.out) == (0, f"{MANIFEST}: 1.0.0 is already withdrawn for that reason\n")


def test_a_dry_run_and_another_reason(released_model: Path, run_registry: Run) -> None:
    before = (released_model / MANIFEST).read_bytes()
    assert run_registry(released_model, "withdraw", "datasets/pets", "1.0.0", "--why", "bad", "--dry-run").code == 0
    assert (released_model / MANIFEST).read_bytes() == before
    for why in ("bad", "worse"):
        assert run_registry(released_model, "withdraw", "datasets/pets", "1.0.0", "--why", why).code == 0
    assert (released_model / MANIFEST).read_bytes() == before + b"withdrawn:\n  1.0.0: worse\n"


@pytest.mark.parametrize(
    ("artifact", "version", "why", "words"),
    [
        ("datasets/pets", "1.2.0", "bad", "datasets/pets 1.2.0 is not published: expected one of 1.0.0"),
        ("datasets/birds", "1.0.0", "bad", "datasets/birds 1.0.0 is not published: no version is published"),
        ("datasets/pets", "1.0.0", " ", "the reason is empty"),
        ("datasets/pets", "1.0", "bad", "'1.0' is not a version"),
        ("pets", "1.0.0", "bad", "'pets' is not an artifact id"),
        ("datasets/pets", "1.0.0", "two\nlines", "withdrawn.1.0.0"),
    ],
)
def test_refused(artifact: str, version: str, why: str, words: str, released_model: Path, run_registry: Run) -> None:
    before = repositories.snapshot(released_model / "datasets")
    assert run_registry(released_model, "withdraw", artifact, version, "--why", why).refused(words)
    assert repositories.snapshot(released_model / "datasets") == before
