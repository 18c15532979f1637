"""Credentials for S3: renewed when they expire, and never shown."""

import json
import sys
from pathlib import Path

import pytest
from botocore.client import BaseClient

from registry.demo.seaweedfs import S3Server
from registry.errors import LoginEnded, StorageFailed
from support.repositories import md5
from support.s3_places import Places, body_of
from support.servers import fault_proxy
from support.servers.fault_proxy import Fault, FaultProxy

pytestmark = pytest.mark.s3


ISSUER = """
import datetime, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "asked").open("a") as file:
    file.write("x")
asked = len((folder / "asked").read_text())
keys = json.loads((folder / "keys").read_text())[min(asked, 3) // 3]
lasts = datetime.timedelta(minutes=9)  # less than botocore keeps keys for: it asks again at each request
until = datetime.datetime.now(datetime.UTC) + lasts
print(json.dumps({"Version": 1, **keys, "Expiration": until.isoformat()}))
"""


def test_keys_that_expire_during_a_transfer_are_renewed(
    server: S3Server,
    proxy: FaultProxy,
    client: BaseClient,
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identities = [server.credentials(name) for name in ("early", "late")]
    found = [{"AccessKeyId": one.access_key, "SecretAccessKey": one.secret_key} for one in identities]
    (tmp_path / "keys").write_text(json.dumps(found))
    (tmp_path / "issuer.py").write_text(ISSUER)
    process = f"credential_process = {sys.executable} {tmp_path}/issuer.py {tmp_path}"
    (tmp_path / "config").write_text(f"[profile acme]\nregion = us-east-1\n{process}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    places = Places(folder, profile="acme", configpath=str(tmp_path / "config"))
    seen = []
    proxy.add(Fault(fault_proxy.SLOW_DOWN, lambda request: bool(seen.append(request))))
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(6)]
    assert places.state(*names) == ["copied"] * 6
    signers = {request.headers["authorization"].split("=")[1].split("/")[0] for request in seen}
    assert signers == {one.access_key for one in identities}


def test_keys_that_are_known_to_have_expired(proxy: FaultProxy, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `aws configure export-credentials --format env` leaves them in a shell; botocore raises a RuntimeError."""
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    places = Places(folder)
    copier = places.production.copier_from(places.staging)
    for ask in (lambda: places.staging.get("a"), lambda: copier.copy("a", "b", md5(b"a"))):
        with pytest.raises(LoginEnded, match=r"the credentials.* have expired.* found nothing wrong in the data"):
            ask()
    assert proxy.exchanges == ()


@pytest.mark.parametrize(
    ("profile", "program"),
    [
        ("acme", "import sys; print('AKIAHUSH', file=sys.stderr); sys.exit('AKIAHUSH')"),
        ("acme", "print('AKIAHUSH')"),
        ("acme", ""),
        ("gone", ""),
        ("unknown", ""),
    ],
    ids=["it fails", "it says nonsense", "it says nothing", "it is not there", "no such profile"],
)
def test_missing_credentials_are_reported_without_the_output_of_their_program(
    proxy: FaultProxy, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, program: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "program.py").write_text(program)
    commands = {"acme": f"{sys.executable} {tmp_path}/program.py", "gone": f"{tmp_path}/gone"}
    sections = (f"[profile {name}]\ncredential_process = {command}\n" for name, command in commands.items())
    (tmp_path / "config").write_text("".join(sections))
    places = Places(folder, profile=profile, configpath=str(tmp_path / "config"))
    copier = places.production.copier_from(places.staging)
    for ask in (lambda: places.staging.get("a"), lambda: copier.copy("a", "b", md5(b"a"))):
        with pytest.raises(StorageFailed, match="no valid credentials") as caught:
            ask()
        assert "AKIA" not in f"{caught.value}{caught.value.__cause__}"
    assert proxy.exchanges == ()
