"""Which of DVC's commands verify what a consumer gets: none but a pull in the registry's own clone with `verify`.

What README and infra/README promise follows from this table; an upgrade of DVC that changes it is seen here.
"""

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dvc.api
import pytest
from dvc.cli import main as dvc_main

from registry.demo.seaweedfs import S3Server
from support import repositories
from support.repositories import git_in, production

PREPARED = "datasets/pets/prepared"
CAT = f"{PREPARED}/train/cat/0a8c7f6e-0000-4000-8000-000000000001.jpg"
TAG = "datasets/pets@v1.0.0"
S3_REMOTE = "['remote \"s3\"']\n    url = s3://production/doors\n    verify = true\n['remote \"plain\"']\n    url = s3://production/doors\n"
IN_S3 = {"s3", "plain"}
BODIES = {"as long": b"ONE cat", "shorter": b"one", "empty": b"", "a web page": b"<html>log in</html>"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def public(released_model: Path) -> Iterator[str]:
    """The URL of the bare repository of a registry whose production is a folder, a web site (`public`), and in S3."""
    handler = partial(_Quiet, directory=str(production(released_model)))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = released_model / ".dvc/config"
        text = config.read_text().replace("../.registry", str(released_model / ".registry"))
        url = f"http://127.0.0.1:{server.server_port}"
        config.write_text(f"{text}['remote \"public\"']\n    url = {url}\n    verify = true\n{S3_REMOTE}")
        (released_model / "dvc.yaml").write_text(
            f"artifacts:\n  datasets/pets:\n    path: {PREPARED}\n    type: dataset\n"
        )
        repositories.commit(released_model, "public")
        git_in(released_model, "tag", "--force", "--annotate", "--message", "public", TAG)
        git_in(released_model, "push", "--quiet", "--force", "origin", "main", TAG)
        yield f"file://{repositories.origin(released_model)}"
        server.shutdown()


def _upload(server: S3Server, folder: Path) -> None:
    """The objects of a folder, as they are, in S3."""
    client = server.client()
    for path in folder.rglob("*"):
        if path.is_file():
            key = f"doors/{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket="production", Key=key, Body=path.read_bytes())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def get(repo: str, remote: str) -> int:
    return dvc_main(["get", repo, PREPARED, "-o", "out", "--rev", TAG, "--remote", remote])


def get_file(repo: str, remote: str) -> int:
    return dvc_main(["get", repo, CAT, "-o", "out.jpg", "--rev", TAG, "--remote", remote])


def import_(repo: str, remote: str) -> int:
    return dvc_main(["import", repo, PREPARED, "-o", "out", "--rev", TAG, "--remote", remote])


def update(repo: str, remote: str) -> int:
    options = ["--no-download", "-o", "out", "--rev", TAG, "--remote", remote]
    return dvc_main(["import", repo, PREPARED, *options]) or dvc_main(["update", "--rev", "main", "out.dvc"])


def pull_of_an_import(repo: str, remote: str) -> int:
    options = ["--no-download", "-o", "out", "--rev", TAG, "--remote", remote]
    return dvc_main(["import", repo, PREPARED, *options]) or dvc_main(["pull", "out.dvc"])


def artifacts_get(repo: str, remote: str) -> int:
    return dvc_main(["artifacts", "get", repo, "datasets/pets", "-o", "out", "--rev", "v1.0.0", "--remote", remote])


def api_read(repo: str, remote: str) -> int:
    Path("out.jpg").write_bytes(dvc.api.read(CAT, repo=repo, rev=TAG, remote=remote, mode="rb"))
    return 0


def file_system(repo: str, remote: str) -> int:
    dvc.api.DVCFileSystem(repo, rev=TAG, remote=remote).get(PREPARED, "out", recursive=True)
    return 0


def pull_in_a_clone(repo: str, remote: str) -> int:
    git_in(Path.cwd(), "clone", "--quiet", "--branch", TAG, repo, "out")
    return dvc_main(["--cd", "out", "pull", "--remote", remote, "datasets/pets/prepared.dvc"])


Door = Callable[[str, str], int]
CONSUMERS = (get, get_file, import_, update, pull_of_an_import, artifacts_get, api_read, file_system)
TABLE = [
    *((door, remote, "as long", True) for door in CONSUMERS for remote in ("public", "production", "s3")),
    *((door, "public", body, True) for door in (get, import_) for body in BODIES if body != "as long"),
    (pull_in_a_clone, "public", "as long", False),
    (pull_in_a_clone, "production", "as long", True),
    (pull_in_a_clone, "s3", "as long", False),
    (pull_in_a_clone, "plain", "as long", True),
]


@pytest.mark.parametrize(
    ("door", "remote", "body", "takes"),
    [
        pytest.param(*row, id="-".join((row[0].__name__, *row[1:3])), marks=[pytest.mark.s3] * (row[1] in IN_S3))
        for row in TABLE
    ],
)
def test_a_wrong_body(
    released_model: Path,
    public: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    door: Door,
    remote: str,
    body: str,
    takes: bool,
) -> None:
    stored = repositories.place(production(released_model), repositories.md5(b"one cat"))
    repositories.overwrite(stored, BODIES[body])
    stored.chmod(0o444)  # of a folder, DVC deletes a damaged object that is writable
    if remote in IN_S3:
        server: S3Server = request.getfixturevalue("server")
        _upload(server, production(released_model))
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    monkeypatch.chdir(consumer)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    git_in(consumer, "init", "--quiet")
    assert dvc_main(["init", "--quiet"]) == 0
    code = door(public, remote)
    files = [
        Path(folder, name) for folder, _, names in os.walk(consumer / "out") for name in names if name == Path(CAT).name
    ]
    found = [file.read_bytes() for file in [*files, *consumer.glob("out.jpg")]]
    assert (code == 0, found) == ((True, [BODIES[body]]) if takes else (False, []))
