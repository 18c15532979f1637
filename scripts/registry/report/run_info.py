"""How a report was made, so that it can be reproduced."""

from dataclasses import dataclass

from registry.integrations.hardware import Hardware


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The commands that reproduce a report, the compared revisions (full commit ids), and the machine.

    `uncommitted` are the paths that differed from `head` when the report was made; the commands then repeat it in the
    same working tree only.
    """

    commands: tuple[str, ...]
    base: str
    head: str
    hardware: Hardware
    uncommitted: tuple[str, ...] = ()
