"""How a report was made, so that it can be made again."""

from dataclasses import dataclass

from registry.integrations.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Repeat:
    """How to make the report again: commands to type, and the revisions (full commit ids) that were compared."""

    commands: tuple[str, ...]
    base: str
    head: str
    hardware: Hardware
