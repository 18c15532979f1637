"""CML (`cml comment create`), which writes a new comment and looks at no other.

`cml comment update` (0.20.6) would replace the last of the first thirty comments that has its watermark, whoever wrote
it.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from registry.errors import NotFound, Refused, ToolFailed
from registry.integrations import github
from registry.integrations.github import Repository
from registry.integrations.github_comments import MAX_BODY
from registry.integrations.process import run, tool_path

PROGRAM = "cml"
VERSION = "0.20.6"  # whose behaviour tests/workflows/cml reproduces
DIGEST = "CML_SHA256"  # the variable that has the SHA-256 of the program
ADDED = 109  # characters of its watermark: a blank line, a URL with forty digits, and TITLE
TITLE = "registry report"
TIMEOUT = 300  # seconds: it waits thirty seconds up to six times where GitHub limits the rate
_URL = re.compile(r"#issuecomment-(\d+)\s*$")
# What it is given of the environment: it sends some of it to telemetry.cml.dev unless told not to, and asks
# api.github.com for the account that GITHUB_ACTOR names.
_PASSED = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "TMPDIR", "SYSTEMROOT")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


def find(name: str = PROGRAM) -> Path:
    """The program, by its path or its name on the PATH; it has the SHA-256 in CML_SHA256. Raises NotFound, Refused."""
    expected = os.environ.get(DIGEST, "").strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise Refused(f"{DIGEST} is {expected or 'not set'}, expected the 64 digits of the SHA-256 of cml {VERSION}")
    found = shutil.which(name, os.F_OK, tool_path())  # a download is not executable yet
    if not found:
        raise NotFound(f"{name}: cml is not installed there")
    program = Path(found).absolute()
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    if digest != expected:
        raise Refused(f"{program}: SHA-256 is {digest}, expected {expected} ({DIGEST})")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def create_comment(program: Path, repository: Repository, number: int, commit: str, body: str) -> int:
    """Write a comment on a pull request, about a commit; returns the comment's number. Raises ToolFailed and Refused.

    The program gets a home of its own, because it writes `safe.directory = *` into the Git configuration there.
    """
    if len(body) + ADDED > MAX_BODY:
        raise Refused(f"cml adds {ADDED} characters, so that the report would have more than {MAX_BODY:,}")
    with tempfile.TemporaryDirectory() as home:
        environment = _environment(repository, home) | {"GITHUB_SHA": commit}
        report = Path(home) / "report.md"
        report.write_text(body, encoding="utf-8", newline="")
        command = [
            str(program), "comment", "create", f"--target=pr/{number}", "--publish=false", "--driver=github",
            f"--repo={repository.url}", f"--watermark-title={TITLE}", str(report),
        ]  # fmt: skip
        output = run(command, cwd=Path(home), env=environment, inherit=False, timeout=TIMEOUT)
    if not (written := _URL.search(output.decode(errors="replace"))):
        raise ToolFailed(command, 0, "its output does not end with the URL of a comment")
    return int(written[1])


def _environment(repository: Repository, home: str) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    proxies = {name: value for name, value in os.environ.items() if name.upper() in _PROXIES}
    own = {"HOME": home, "USERPROFILE": home, "ITERATIVE_DO_NOT_TRACK": "1", "REPO_TOKEN": github.token(repository)}
    return {**passed, **proxies, **own}
