"""Whether trainings of released models were repeated: the branch that says so, with a file of lines for each release.

A branch, because `git clone` and a job's checkout have it without being asked. No merge of a pull request reaches it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from registry.core import documents, names
from registry.core.names import InvalidName
from registry.core.values import Tag
from registry.core.wording import join
from registry.errors import InvalidDocument

BRANCH = "registry-reproductions"
REFS = (f"refs/remotes/origin/{BRANCH}", f"refs/heads/{BRANCH}")  # as it was fetched, and in a bare repository
MAX_TEXT, MAX_METRICS = 200, 100
_ODD, _AGAIN = "a line is none of `registry reproduce --out`", "registry reproduce --latest --out reproduced.jsonl"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A training that was repeated: when (`2026-11-30T02:17:00+00:00`), by which tooling, on which machine.

    `differing` are the metrics outside of their tolerance; none where it was reproduced.
    """

    tag: Tag
    time: str
    differing: tuple[str, ...]
    tooling: str
    machine: str

    @property
    def is_reproduced(self) -> bool:
        """Whether every metric that is compared came back."""
        return not self.differing

    def __str__(self) -> str:
        what = "reproduced" if self.is_reproduced else f"not reproduced ({join(self.differing, 'and')} differed)"
        return f"{what} on {self.time[:10]} by registry {self.tooling}, on {self.machine}"


def path(tag: Tag) -> str:
    """The file of a release on the branch."""
    return f"{tag.artifact}/v{tag.version}.jsonl"


def to_json(one: Reproduction) -> dict[str, Any]:
    """One as JSON, and as `parse` reads it."""
    return {**asdict(one), "tag": str(one.tag), "differing": list(one.differing)}


def write(one: Reproduction) -> str:
    """Its line, without values that `parse` would refuse."""
    short = replace(
        one,
        differing=tuple(name[:MAX_TEXT] for name in one.differing[:MAX_METRICS]),
        tooling=one.tooling[:MAX_TEXT],
        machine=one.machine[:MAX_TEXT],
    )
    return json.dumps(to_json(short)) + "\n"


def parse(line: str, place: str) -> Reproduction:
    """One from a line that another machine wrote. Raises InvalidDocument."""
    try:
        data = documents.read_json(line.encode(errors="replace"), place)
        found = Reproduction(
            names.parse_tag(_text(data, "tag")),
            datetime.fromisoformat(_text(data, "time")).isoformat(),
            tuple(_text({"metric": one}, "metric") for one in data["differing"][:MAX_METRICS]),
            _text(data, "tooling"),
            _text(data, "machine"),
        )
    except InvalidDocument as error:
        raise InvalidDocument(place, f"{_ODD}: {error.message}", fix=_AGAIN) from error
    except (ValueError, KeyError, TypeError, InvalidName) as error:
        raise InvalidDocument(place, f"{_ODD}: {error}", fix=_AGAIN) from error
    if to_json(found).keys() != data.keys():
        raise InvalidDocument(place, f"{_ODD}: it has other keys", fix=_AGAIN)
    return found


def latest(data: bytes, tag: Tag) -> Reproduction | None:
    """The last line about a release in its file; lines that cannot be read say nothing."""
    for line in reversed(data.decode(errors="replace").splitlines()):
        try:
            if (found := parse(line, path(tag))).tag == tag:
                return found
        except InvalidDocument:
            continue
    return None


def _text(data: Mapping[str, object], key: str) -> str:
    value = data[key]
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise ValueError(f"{key} is not a text of at most {MAX_TEXT} characters")
    return value
