"""Whose `--scheduler` counts, and a cluster of processes of this machine, which have its folders."""

from pathlib import Path

import pytest
from dask import config

from registry.storage import cluster
from support import repositories
from support.repositories import Run, git_in

NOWHERE = "tcp://127.0.0.1:9"


def set_scheduler(root: Path, address: str) -> None:
    file = root / "registry.yaml"
    file.write_text(f"{file.read_text()}scheduler: {address}\n")


def test_an_address_that_is_none(built_dataset: Path, run_registry: Run) -> None:
    done = run_registry(built_dataset, "publish", "--scheduler", "10.0.0.5")
    assert done.refused("'10.0.0.5' is no address of a scheduler", "write tcp://HOST:PORT, tls://HOST:PORT, or local:N")


def test_a_scheduler_that_only_a_branch_names_is_not_asked(merged_model: Path, run_registry: Run) -> None:
    """It answers with pickles: whoever checks out the branch of a pull request would run what its author wants."""
    git_in(merged_model, "switch", "--quiet", "--create", "change")
    set_scheduler(merged_model, NOWHERE)
    repositories.commit(merged_model, "a scheduler")
    done = run_registry(merged_model, "check", "--all", "--images")
    assert done.refused(f"registry.yaml: scheduler {NOWHERE} is not on the default branch", "merge it first")
    for others in (["check", "--all", "--images", "--scheduler", "none"], ["check", "--all"]):
        assert "scheduler" not in run_registry(merged_model, *others).err


def test_the_scheduler_of_the_default_branch_is_the_default(
    merged_model: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_WITHIN", "1s")
    set_scheduler(merged_model, NOWHERE)
    repositories.commit(merged_model, "a scheduler")
    assert run_registry(merged_model, "fsck").code == 0
    assert run_registry(merged_model, "publish").refused(f"{NOWHERE} does not answer: ", "dask scheduler")


@pytest.mark.cluster
def test_processes_of_this_machine_have_its_folders(merged_model: Path, run_registry: Run) -> None:
    done = run_registry(merged_model, "publish", "--scheduler", "local:1")
    assert done.code == 0, done.err
    assert "published: 13 objects copied to production, " in done.out
    assert not {"distributed", "Traceback"} & {*done.err.split()}
    assert run_registry(merged_model, "fsck", "--deep").code == 0


def test_tls_needs_a_certificate(merged_model: Path, run_registry: Run) -> None:
    tls, names = "tls://127.0.0.1:9", "distributed.comm.tls"
    done = run_registry(merged_model, "publish", "--scheduler", tls)
    assert done.refused(f"{tls} needs the certificate of a client", "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ")
    with config.set({f"{names}.ca-file": "gone.pem", f"{names}.client.cert": "gone.pem"}):
        done = run_registry(merged_model, "publish", "--scheduler", tls)
    assert done.refused(f"{tls}: the certificate of the client cannot be read: ", "in PEM form")
