"""The files of a report's pictures."""

from dataclasses import dataclass

FOLDER = "pictures"  # beside report.md


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """A picture's name, the names of its files for light and dark themes, and its width in CSS pixels."""

    name: str
    light: str
    dark: str
    width: int
