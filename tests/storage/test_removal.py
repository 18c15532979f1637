"""The commands with which an administrator deletes an object reach the place that the remote reaches."""

import shlex
from pathlib import Path

import pytest

from registry.core.settings import Remote
from registry.storage.open import open_store
from support import certificates

KEY = "files/md5/aa/b c"
PLACE = "'s3://data/a/files/md5/aa/b c'"
OVERRIDE, CHINA = "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", "https://acme.blob.core.chinacloudapi.cn"
AZURE = "az storage blob delete --account-name acme"
COMMANDS = {
    "AWS": ("s3://data/a", {}, f"aws s3 rm {PLACE}"),
    "all options": (
        "s3://data/a",
        {"endpointurl": "https://s3.acme.example", "profile": "my team", "region": "eu-1", "ssl_verify": "false"},
        "aws --endpoint-url https://s3.acme.example --profile 'my team' --region eu-1 --no-verify-ssl s3 rm " + PLACE,
    ),
    "files": (
        "s3://data/a",
        {"configpath": "/c", "credentialpath": "/k", "secret_access_key": "hush", "access_key_id": "hush"},
        f"env AWS_CONFIG_FILE=/c AWS_SHARED_CREDENTIALS_FILE=/k aws s3 rm {PLACE}",
    ),
    "Google": ("gs://data", {}, "gcloud storage rm 'gs://data/files/md5/aa/b c'"),
    "Google's emulator": (
        "gs://data",
        {"endpointurl": "http://127.0.0.1:1"},
        f"env {OVERRIDE}=http://127.0.0.1:1/storage/v1/ gcloud storage rm 'gs://data/files/md5/aa/b c'",
    ),
    "Azure": (
        "azure://data/a/b",
        {"account_name": "acme", "account_key": "aHVzaA=="},
        f"{AZURE} --container-name data --name 'a/b/files/md5/aa/b c'",
    ),
    "Azure by connection string": (
        "azure://data",
        {"connection_string": "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=aHVzaA=="},
        f"{AZURE} --container-name data --name 'files/md5/aa/b c'",
    ),
    "Azure in China": (
        "azure://data",
        {"connection_string": "AccountName=acme;AccountKey=aHVzaA==;EndpointSuffix=core.chinacloudapi.cn"},
        f"{AZURE} --blob-endpoint {CHINA} --container-name data --name 'files/md5/aa/b c'",
    ),
}


@pytest.fixture(autouse=True)
def _no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_all_that_the_remote_has_but_secrets(name: str) -> None:
    url, options, command = COMMANDS[name]
    said = open_store(Remote(url, options, "staging"), Path()).removal(KEY)
    assert said == command
    assert "hush" not in said
    assert "aHVzaA" not in said
    assert shlex.split(said)[-1].endswith(KEY)


def test_a_command_has_the_certificates(tmp_path: Path) -> None:
    bundle = tmp_path / "ca's.pem"
    bundle.write_bytes(certificates.make(is_ca=True).pem)
    said = open_store(Remote("s3://data", {"ssl_verify": str(bundle)}, "staging"), Path()).removal("a")
    assert shlex.split(said) == ["aws", "--ca-bundle", str(bundle), "s3", "rm", "s3://data/a"]
