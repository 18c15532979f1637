"""The error tree; `cli.main` turns errors into messages and exit codes.

RegistryError            exit 1: an expected failure; the message names the fault, `fix` the next step
├── InvalidDocument      a file is not in its required form
├── InvalidData          rows or images do not match the manifest; lists the first ten
├── NotFound             a file, revision, artifact or object does not exist
├── Refused              the command would break a guarantee of the registry
├── ToolFailed           a command such as git or dvc exited non-zero; has the command, its exit code and stderr
├── StorageFailed        the lake, staging or production failed
│   └── LoginEnded       exit 4: a store accepts the login no longer; nothing is known to be wrong with the data
├── ServiceFailed        Looker or GitHub responded with an error
└── ClusterFailed        the Dask cluster of `--scheduler` cannot be used, or ended before its work

Any other exception is a bug (exit 3); Ctrl-C is exit 130.
"""

from collections.abc import Sequence

from registry.console import indented, plain

SHOWN = 10  # problems that a message lists


class RegistryError(Exception):
    """An expected failure: `message` names the thing and the fault, `fix` the next step.

    Both are one line, whatever is in them: file names, values, texts of servers. Only `lines` of a message are more.
    """

    exit_code = 1
    label = "error"

    def __init__(self, message: str, *, lines: Sequence[str] = (), fix: str = "") -> None:
        super().__init__(message)
        self.message = "\n  ".join([plain(message), *map(indented, lines)])
        self.fix = plain(fix)

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.fix}" if self.fix else self.message


class InvalidDocument(RegistryError):
    """The file at `path` (relative to the registry's root) is not in its required form; `line` counts from 1."""

    def __init__(self, path: str, message: str, *, line: int | None = None, fix: str = "") -> None:
        self.path = path
        self.line = line
        self.fault = message
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}", fix=fix)


class InvalidData(RegistryError):
    """Rows or images do not match the manifest; the message counts all problems and lists the first ten."""

    def __init__(self, summary: str, problems: Sequence[str], *, fix: str = "") -> None:
        self.problems = tuple(map(indented, problems))
        rest = len(problems) - SHOWN
        lines = [*self.problems[:SHOWN], *([f"… and {rest:,} more"] if rest > 0 else [])]
        first, *more = summary.split("\n  ")
        super().__init__(first, lines=[*more, *lines], fix=fix)


class NotFound(RegistryError):
    """A file, revision, artifact or object does not exist."""


class Refused(RegistryError):
    """The command would break a guarantee of the registry."""


class ToolFailed(RegistryError):
    """A command exited non-zero."""

    def __init__(self, command: Sequence[str], code: int, stderr: str, *, stdout: str = "", fix: str = "") -> None:
        self.command = tuple(command)
        self.code = code
        self.stderr = stderr
        self.stdout = stdout
        lines = stderr.strip().splitlines()
        super().__init__(f"`{' '.join(command)}` exited {code}", lines=lines, fix=fix)


class StorageFailed(RegistryError):
    """A store failed."""


class LoginEnded(StorageFailed):
    """A store accepts the login no longer: it has expired or was replaced, or this machine's clock is wrong."""

    exit_code = 4
    label = "unfinished"


class ServiceFailed(RegistryError):
    """A service responded with an error."""


class ClusterFailed(RegistryError):
    """The Dask cluster of `--scheduler` cannot be used, or ended before its work."""
