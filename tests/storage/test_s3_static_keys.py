"""Keys that are static are found without botocore, and only where botocore would find the same ones."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import RegistryError
from registry.storage import s3_credentials, s3_sessions
from registry.storage.s3_credentials import Credentials, Keys, Login

OWN = {"AWS_ACCESS_KEY_ID": "AKIA-OF-VARIABLES", "AWS_SECRET_ACCESS_KEY": "hush"}
TOKENS = {"AWS_SESSION_TOKEN": "session", "AWS_SECURITY_TOKEN": "security"}
ENDPOINTS = {"AWS_ENDPOINT_URL": "https://all.example.com", "AWS_ENDPOINT_URL_S3": "https://s3.example.com"}
OTHERS = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_CA_BUNDLE": "/etc/ca.pem", "AWS_REGION": "unread-1"}
KEYS = "aws_access_key_id = AKIA-OF-FILE\naws_secret_access_key = file\n"
ROLE = "role_arn = arn:aws:iam::1:role/r\nsource_profile = default\n"
CONFIG = f"[default]\nregion = us-west-2\nendpoint_url = https://file.example.com\n{KEYS}[profile acme]\n{KEYS}"

# Login, variables, ~/.aws/config, and whose access key signs; none is an error.
CASES = {
    "variables": (Login(), OWN, "", "AKIA-OF-VARIABLES"),
    "with a token": (Login(), OWN | {"AWS_SESSION_TOKEN": "session"}, "", "AKIA-OF-VARIABLES"),
    "with two tokens": (Login(), OWN | TOKENS, "", "AKIA-OF-VARIABLES"),
    "with an empty token": (Login(), OWN | TOKENS | {"AWS_SECURITY_TOKEN": ""}, "", "AKIA-OF-VARIABLES"),
    "endpoints": (Login(), OWN | ENDPOINTS | OTHERS, "", "AKIA-OF-VARIABLES"),
    "an endpoint": (Login(), OWN | {"AWS_ENDPOINT_URL": "https://all.example.com"}, "", "AKIA-OF-VARIABLES"),
    "no endpoints": (
        Login(), OWN | ENDPOINTS | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"}, "", "AKIA-OF-VARIABLES",
    ),
    "no secret": (Login(), {"AWS_ACCESS_KEY_ID": "AKIA-OF-VARIABLES"}, "", ""),
    "an empty key": (Login(), OWN | {"AWS_ACCESS_KEY_ID": ""}, CONFIG, "AKIA-OF-FILE"),
    "they end": (Login(), OWN | {"AWS_CREDENTIAL_EXPIRATION": "2999-01-01T00:00:00Z"}, "", "AKIA-OF-VARIABLES"),
    "they ended": (Login(), OWN | {"AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}, "", ""),
    "a file beside them": (Login(), OWN, CONFIG, "AKIA-OF-VARIABLES"),
    "a role beside them": (Login(), OWN, f"[default]\n{ROLE}", "AKIA-OF-VARIABLES"),
    "a program beside them": (Login(), OWN, "[default]\ncredential_process = false\n", "AKIA-OF-VARIABLES"),
    "a chosen profile beside them": (Login(), OWN | {"AWS_PROFILE": "acme"}, CONFIG, "AKIA-OF-VARIABLES"),
    "a profile that is not there": (Login(), OWN | {"AWS_PROFILE": "gone"}, "", ""),
    "the remote's profile": (Login(profile="acme"), OWN, CONFIG, "AKIA-OF-FILE"),
    "a file alone": (Login(), {}, CONFIG, "AKIA-OF-FILE"),
    "a program alone": (Login(), {}, "[default]\ncredential_process = false\n", ""),
    "the remote's keys": (Login("AKIA-OF-REMOTE", "own", "token"), OWN | TOKENS, CONFIG, "AKIA-OF-REMOTE"),
}  # fmt: skip


def ask(find: Callable[[], Credentials | None]) -> Keys | None:
    """The keys; None where there are none, or they have ended."""
    try:
        credentials = find()
        return credentials() if credentials else None
    except RegistryError:
        return None


@pytest.mark.parametrize("case", CASES)
def test_what_is_found_is_what_botocore_finds(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login, variables, config, signs = CASES[case]
    for name in (name for name in os.environ if name.startswith("AWS_")):
        monkeypatch.delenv(name)
    for name, value in (variables | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".aws").mkdir()
    if config:
        (tmp_path / ".aws/config").write_text(config)
    s3_credentials._find_credentials.cache_clear()
    found = ask(login.find_credentials)
    assert (found.access_key if found else "") == signs
    assert s3_credentials.read_settings(login) == s3_sessions.read_settings(login)
    if not login.access_key:
        assert found == ask(lambda: s3_sessions.find_credentials(login))


ALONE = """
import sys
from pathlib import Path
from registry.core.settings import Remote
from registry.storage.open import open_store
store = open_store(Remote("s3://staging/data"), Path())
assert store.location.login.find_credentials()().access_key == "AKIA-OF-VARIABLES"
assert store.location.address == "https://s3.example.com"
assert not {"botocore", "boto3", "urllib3"} & {name.partition(".")[0] for name in sys.modules}
"""


def test_botocore_is_not_imported_for_static_keys(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(Path(s3_credentials.__file__).parents[2]), "HOME": str(tmp_path), **OWN, **ENDPOINTS}
    subprocess.run([sys.executable, "-c", ALONE], env=env, check=True)
