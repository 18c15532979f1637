"""A local S3 server: SeaweedFS in one process, with its data and identities below one folder.

It supports S3's access control: policies of identities, bucket policies, and (`iam`) roles that a job assumes through
STS with an OpenID Connect token.
"""

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from threading import Lock
from typing import Any, Self

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from registry.errors import NotFound, ToolFailed
from registry.integrations import process

BUCKETS = ("lake", "staging", "production")
REGION = "us-east-1"
ROOT = "root"  # the identity with all permissions, except where a bucket policy denies them
SERVICES = ("master", "filer", "volume", "s3", "admin")
# Below the ephemeral ports. gRPC listens 10,000 above each port, and some components ignore another setting.
PORTS, GRPC = range(11_000, 22_000), 10_000
STARTS = 5  # attempts to start, each with new ports, if another process takes one of them first
TIMEOUT = 300.0  # seconds to start or to respond: it takes 1.2, and far longer on a busy machine
SHUTDOWN_TIMEOUT = 3.0  # seconds until it is killed: it takes 1.3, or, once in ten times, it hangs

Document = Mapping[str, object]  # a policy in the JSON of AWS


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys that sign requests; those of STS have a session `token`."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The PEM files of a certificate for 127.0.0.1 and of its key."""

    path: Path
    key: Path


class S3Server:
    """SeaweedFS on 127.0.0.1 with its own folder: `with S3Server(folder) as server: server.client()…`.

    `policies` creates an identity for each name, with exactly the permissions of its policy. `iam` is SeaweedFS's
    configuration of roles and trust policies. With a `certificate` it also listens on `tls_url`. Data and ports are
    kept between `stop` (or `kill`) and the next `start`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        buckets: Sequence[str] = BUCKETS,
        policies: Mapping[str, Document] | None = None,
        iam: Document | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.folder, self.log = folder, folder / "server.log"
        self._buckets, self._policies, self._iam, self._certificate = buckets, policies or {}, iam, certificate
        self._credentials = {name: _new_credentials() for name in (ROOT, *self._policies)}
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- process ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Return when it responds and its buckets exist. Raises NotFound (no `weed`) and ToolFailed."""
        program = shutil.which("weed", path=process.tool_path())
        if not program:
            raise NotFound("SeaweedFS (weed) is not installed", fix="make venv WITH=s3")
        # Its data on disk contains its ports: with others it would wait half a minute for them.
        is_new = not self._ports
        for ports in (free_ports() for _ in range(STARTS)) if is_new else [self._ports]:
            self._ports = ports
            self._write_settings()
            self._process = self._spawn([program, *self._arguments()])
            if self._wait_until_ready():
                return
            self.kill()
            if is_new:
                shutil.rmtree(self.folder / "data")
        last = self.log.read_text(errors="replace").splitlines()[-20:]
        raise ToolFailed([program, "mini"], 1, "\n".join(last), fix=f"read {self.log}")

    def stop(self) -> None:
        """Terminate it, or kill it if it hangs; all written data is on disk."""
        if self._process:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SHUTDOWN_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """Kill it, as a power failure would."""
        if not self._process:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        for port in self._ports.values():
            for number in (port, port + GRPC):  # it does not remove these sockets
                for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108 - SeaweedFS places them there
                    path.unlink(missing_ok=True)

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )

    def _wait_until_ready(self) -> bool:
        client, deadline = self.client(), time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with suppress(BotoCoreError, ClientError, OSError):
                # Signed with this server's secrets, so that another server on this port is not mistaken for it.
                existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
                if existing >= set(self._buckets) and self._has_disk():
                    return True
            time.sleep(0.02)
        return False

    def _has_disk(self) -> bool:
        """Whether the volume server has registered with the master: up to five seconds after a restart."""
        master = HTTPConnection("127.0.0.1", self._ports["master.port"], timeout=TIMEOUT)
        try:
            master.request("GET", "/dir/status")
            return bool(json.load(master.getresponse())["Topology"]["Max"] > 0)
        finally:
            master.close()

    # --- configuration ------------------------------------------------------------------------------------------------

    def _write_settings(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": one.access_key, "secretKey": one.secret_key}],
                **({"actions": ["Admin"]} if name == ROOT else {"policyNames": [name]}),
            }
            for name, one in self._credentials.items()
        ]
        policies = [{"name": name, "content": json.dumps(policy)} for name, policy in self._policies.items()]
        _write_private(self.folder / "identities.json", {"identities": identities, "policies": policies})
        if self._iam:
            _write_private(self.folder / "iam.json", self._iam)

    def _arguments(self) -> list[str]:
        switches = {
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "bucket": ",".join(self._buckets),
            "s3.config": self.folder / "identities.json",
            "admin.ui": "false",
            "webdav": "false",
            "master.telemetry": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "volume.preStopSeconds": 0,
            **{name: port for name, port in self._ports.items() if name != "s3.port.https"},
        }
        if self._iam:
            switches["s3.iam.config"] = self.folder / "iam.json"
        if self._certificate:
            switches["s3.port.https"] = self._ports["s3.port.https"]
            switches["s3.cert.file"], switches["s3.key.file"] = self._certificate.path, self._certificate.key
        return ["mini", *(f"-{name}={value}" for name, value in switches.items())]

    # --- clients ------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def tls_url(self) -> str:
        """Its HTTPS URL, given a certificate."""
        return f"https://127.0.0.1:{self._ports['s3.port.https']}"

    def credentials(self, identity: str = ROOT) -> Credentials:
        """The keys of an identity."""
        return self._credentials[identity]

    def env(self, identity: str | Credentials = ROOT, *, url: str = "") -> dict[str, str]:
        """The environment variables with which AWS tools, obstore and DVC use it, or a proxy at `url`."""
        keys = self._credentials[identity] if isinstance(identity, str) else identity
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,  # empty, to override the caller's
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def client(self, identity: str | Credentials = ROOT, *, url: str = "", service: str = "s3") -> Any:
        """A botocore client that does not retry and trusts `certificate`; Any, as its methods are made at run time."""
        keys = self._credentials[identity] if isinstance(identity, str) else identity
        config = Config(
            signature_version="s3v4",  # presigned URLs would use the previous version
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=TIMEOUT,
            read_timeout=TIMEOUT,
        )
        with _CREATING_CLIENTS:
            return _session().create_client(
                service,
                region_name=REGION,
                endpoint_url=url or self.url,
                verify=str(self._certificate.path) if self._certificate else None,
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.token or None,
                config=config,
            )


_CREATING_CLIENTS = Lock()  # botocore's sessions are not thread-safe; its clients are


@cache
def _session() -> Session:
    """A shared session, because each one reads S3's API description; without the user's AWS profile and files."""
    return Session({"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)})


def _new_credentials() -> Credentials:
    return Credentials(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20))


def _write_private(path: Path, content: object) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))


def free_ports() -> dict[str, int]:
    """A free port for each listener, by its flag."""
    names = [*(f"{name}.port" for name in SERVICES), "s3.port.https"]
    free = (
        port for port in random.SystemRandom().sample(PORTS, len(PORTS)) if _is_free(port) and _is_free(port + GRPC)
    )
    return dict(zip(names, free, strict=False))


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
