"""Reads `requirements.txt` as `make lock` writes it: packages with their hashes, and the groups that need them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from registry.core.tree import Tree
from registry.errors import InvalidDocument

LOCK, TORCH = "requirements.txt", "requirements-torch.txt"
ALWAYS = frozenset({"base", "build", "registry"})  # the groups that scripts/install.py installs for every command
TRAINING = "train"
_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)(?: ; ([^\\#]*[^\\#\s]))?(?: \\)?")
_HASH = re.compile(r" +--hash=sha256:([0-9a-f]{64})(?: \\)?")
_GROUPS = re.compile(r" +# ([a-z0-9]+(?: [a-z0-9]+)*)")
_PLUGIN = re.compile(r"""^\s*["']?url["']?\s*=\s*["']*(gs|azure)://""", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a lock: the SHA-256 of its files, the environments that need it, and the groups."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    groups: frozenset[str]

    @property
    def purl(self) -> str:
        """Its package URL."""
        name = re.sub(r"[-_.]+", "-", self.name).lower()
        return f"pkg:pypi/{name}@{self.version.replace('+', '%2B').replace('!', '%21')}"


def parse(text: str, path: str) -> Iterator[Package]:
    """The packages of a lock, in its order. Raises InvalidDocument for every line that `make lock` does not write."""
    name, version, marker, hashes, groups = "", "", "", list[str](), frozenset[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _HASH.fullmatch(line):
            hashes.append(found[1])
        elif found := _GROUPS.fullmatch(line):
            groups = frozenset(found[1].split())
        elif found := _PACKAGE.fullmatch(line):
            if name:
                yield Package(name, version, marker, tuple(hashes), groups)
            name, version, marker, hashes, groups = found[1], found[2], found[3] or "", [], frozenset()
        elif line.strip() and not line.startswith("#"):
            raise InvalidDocument(
                path, f"{line.strip()[:60]!r} is no package with its version, hash or groups", line=number
            )
    if name:
        yield Package(name, version, marker, tuple(hashes), groups)


def training_groups(dvc_config: str) -> frozenset[str]:
    """The groups that a job that trains installs: with the plug-ins of DVC for the remotes of .dvc/config."""
    return ALWAYS | {TRAINING} | {scheme.lower() for scheme in _PLUGIN.findall(dvc_config)}


def read_training(tree: Tree) -> tuple[Package, ...]:
    """The packages of a training by the locks of a commit, sorted by name; none where it has none.

    Raises InvalidDocument.
    """
    if not tree.has(LOCK):
        return ()
    wanted = training_groups(_read(tree, ".dvc/config"))
    found = [one for one in parse(_read(tree, LOCK), LOCK) if one.groups & wanted]
    return tuple(sorted([*found, *parse(_read(tree, TORCH), TORCH)], key=lambda one: (one.purl, one.marker)))


def _read(tree: Tree, path: str) -> str:
    return tree.read(path).decode(errors="replace") if tree.has(path) else ""
