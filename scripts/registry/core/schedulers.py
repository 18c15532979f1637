"""The grammar of `--scheduler` and of `scheduler:` in registry.yaml: where the tasks of a map go."""

import re
from dataclasses import dataclass

from registry.errors import Refused

NONE = "none"  # for `--scheduler`: here, whatever registry.yaml says
_ADDRESS = re.compile(
    r"(?:(?:tcp|tls)://(?:[^\s/:\[\]@]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}|local:(?P<workers>[1-9][0-9]?))"
)


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A Dask scheduler at `address`, or one that is started here with that many worker processes (`workers` > 0)."""

    address: str
    workers: int = 0

    @property
    def is_here(self) -> bool:
        """Whether its workers are processes of this machine, which have its folders."""
        return self.workers > 0

    def __str__(self) -> str:
        return self.address


def parse(text: str) -> Scheduler:
    """The scheduler at an address. Raises Refused."""
    if found := _ADDRESS.fullmatch(text):
        return Scheduler(text, int(found["workers"] or 0))
    raise Refused(
        f"{text!r} is no address of a scheduler",
        fix="write tcp://HOST:PORT, tls://HOST:PORT, or local:N for N processes",
    )
