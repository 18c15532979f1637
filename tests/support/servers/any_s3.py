"""S3 servers other than SeaweedFS: rclone, and whatever a person has an endpoint of."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from registry.demo.seaweedfs import BUCKETS, REGION, Credentials
from registry.integrations import process
from support.patience import PATIENCE

ENDPOINT = "REGISTRY_TEST_S3"  # the environment variable with the endpoint of a person's own test server


@dataclass(frozen=True)
class AnyS3:
    """A server at `url`, with the interface of `S3Server` that tests use."""

    url: str
    keys: Credentials

    def credentials(self) -> Credentials:
        """The keys that sign requests."""
        return self.keys

    def env(self, *, url: str = "") -> dict[str, str]:
        """The environment variables with which AWS tools, obstore and DVC use it, or a proxy at `url`."""
        return {
            "AWS_ACCESS_KEY_ID": self.keys.access_key,
            "AWS_SECRET_ACCESS_KEY": self.keys.secret_key,
            "AWS_SESSION_TOKEN": self.keys.token,
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def client(self) -> Any:
        """A botocore client."""
        config = Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=self.keys.access_key,
            aws_secret_access_key=self.keys.secret_key,
            aws_session_token=self.keys.token or None,
            config=config,
        )


@contextmanager
def rclone(folder: Path) -> Iterator[AnyS3]:
    """`rclone serve s3`, whose buckets are folders: it ignores every condition of a request."""
    for bucket in BUCKETS:
        (folder / bucket).mkdir(parents=True)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
    keys = Credentials(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20))
    server = AnyS3(f"http://{address}", keys)
    options = ("--addr", address, "--auth-key", f"{keys.access_key},{keys.secret_key}", "--config", os.devnull)
    command = ("rclone", "serve", "s3", *options, str(folder))
    env = {**os.environ, "PATH": process.tool_path()}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            _wait(server, running)
            yield server
        finally:
            running.kill()


def _wait(server: AnyS3, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and running.poll() is None:
        with suppress(BotoCoreError, ClientError):
            server.client().list_buckets()
            return
        time.sleep(0.05)
    raise AssertionError("rclone did not start")


def own() -> AnyS3:
    """The server at $REGISTRY_TEST_S3, with the keys of the environment; its three buckets are made, or are empty."""
    token = os.environ.get("AWS_SESSION_TOKEN", "")
    keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], token)
    server = AnyS3(os.environ[ENDPOINT], keys)
    client = server.client()
    for bucket in BUCKETS:
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=bucket)
        assert not client.list_objects_v2(Bucket=bucket).get("Contents"), f"bucket {bucket} is not empty"
    return server
