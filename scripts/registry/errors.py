"""Everything that can go wrong, as one tree; `cli` turns these into words and exit codes.

RegistryError            exit 1: expected, the message says what is wrong and `fix` what to do next
├── InvalidDocument      a file that people or tools wrote cannot be read as what it should be
├── InvalidData          rows or images are not what the manifest says; names the first ten
├── NotFound             a file, revision, artifact or object that does not exist
├── Refused              what was asked would break a promise
├── ToolFailed           git or DVC exited non-zero; carries command, exit code and stderr
├── StorageFailed        a lake, staging or production did not do what was asked
└── ServiceFailed        Looker or GitHub answered with an error

Any other exception is a bug (exit 3); Ctrl-C is exit 130.
"""

from collections.abc import Sequence

SHOWN = 10  # how many of many problems a message lists


class RegistryError(Exception):
    """An expected failure: `message` names the thing and the fault, `fix` the next step."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.fix}" if self.fix else self.message


class InvalidDocument(RegistryError):
    """The file at `path` (relative to the registry's root) is not what it should be; `line` counts from 1."""

    def __init__(self, path: str, message: str, *, line: int | None = None, fix: str = "") -> None:
        self.path = path
        self.line = line
        self.fault = message
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}", fix=fix)


class InvalidData(RegistryError):
    """Many rows or images are at fault: the message counts all of them and shows the first ten."""

    def __init__(self, summary: str, problems: Sequence[str], *, fix: str = "") -> None:
        self.problems = tuple(problems)
        rest = len(problems) - SHOWN
        lines = [summary, *(f"  {problem}" for problem in problems[:SHOWN])]
        super().__init__("\n".join([*lines, f"  … and {rest:,} more"] if rest > 0 else lines), fix=fix)


class NotFound(RegistryError):
    """A file, revision, artifact or object does not exist."""


class Refused(RegistryError):
    """What was asked would break a promise."""


class ToolFailed(RegistryError):
    """A command exited non-zero."""

    def __init__(self, command: Sequence[str], code: int, stderr: str, *, stdout: str = "", fix: str = "") -> None:
        self.command = tuple(command)
        self.code = code
        self.stderr = stderr
        self.stdout = stdout
        super().__init__(f"`{' '.join(command)}` exited {code}\n{stderr.strip()}".strip(), fix=fix)


class StorageFailed(RegistryError):
    """A store did not do what was asked."""


class ServiceFailed(RegistryError):
    """A service answered with an error."""
