"""What a rule yields: a diagnostic, to which the runner adds the check's name and the artifact."""

from dataclasses import dataclass

from registry.core.check_names import CheckName
from registry.core.values import ArtifactId, Finding, Verdict


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A fault at a place: the message names it, `fix` is the next step, `line` counts from 1."""

    verdict: Verdict
    message: str
    path: str
    line: int | None = None
    fix: str = ""

    def of(self, check: CheckName, artifact: ArtifactId | None) -> Finding:
        """The finding of this check on this artifact (None: on the registry)."""
        return Finding(check, artifact, self.verdict, self.message, self.path, self.line, self.fix)


def wrong(message: str, path: str, line: int | None = None, fix: str = "") -> Diagnostic:
    """The change must not be merged like this."""
    return Diagnostic(Verdict.WRONG, message, path, line, fix)


def needs_owner(message: str, path: str, line: int | None = None, fix: str = "") -> Diagnostic:
    """An owner has to decide: no rule can tell whether it is intended, or it could not be verified here."""
    return Diagnostic(Verdict.NEEDS_OWNER, message, path, line, fix)


def note(message: str, path: str, fix: str = "") -> Diagnostic:
    """Nothing is wrong; `fix` comes next."""
    return Diagnostic(Verdict.OK, message, path, None, fix)
