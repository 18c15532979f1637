"""Sets up a fresh copy of the template as a registry: its name, owners and storage."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.core import documents, schema, settings
from registry.core.atomic_write import write_atomically
from registry.core.tree import Tree
from registry.errors import Refused

EXAMPLE = ("datasets/cats_dogs", "models/cats_dogs")
TEMPLATE_NAME = "registry-template"  # the name in registry.yaml before `registry init`


@dataclass(frozen=True, slots=True)
class Answers:
    """The choices of a new registry: `lake` is where the images are, `public` an HTTP URL of production, if any."""

    name: str
    owners: tuple[str, ...]
    staging: str
    production: str
    lake: str
    public: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write and to remove, by path from the root, and a description of each change."""

    files: Mapping[str, bytes]
    removed: tuple[str, ...]
    changes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.changes)


def places_in(bucket: str) -> tuple[str, str]:
    """Staging and production as folders of one bucket."""
    return f"{bucket.rstrip('/')}/staging", f"{bucket.rstrip('/')}/production"


def plan(tree: Tree, answers: Answers, *, again: bool = False, keep_example: bool = False) -> Plan:
    """The changes to make. The worked example is removed the first time, unless `keep_example` is set.

    Raises Refused for a registry that is set up already (unless `again`), for a URL that contains credentials, and for
    a public URL that is not plain HTTP.
    """
    now = settings.load(tree)
    if now.name != TEMPLATE_NAME and not again:
        raise Refused(
            f"the registry {now.name} is set up already: staging {now.staging.url}, production {now.production.url}",
            fix="pass --again to change it (published objects stay where they are)",
        )
    _require_valid_places(answers)
    old = {name: remote.url for name, remote in settings.read_remotes(tree.read(settings.DVC_CONFIG)).items()}
    urls = {name: url.rstrip("/") for name, url in _remotes(answers) if url}
    changes: dict[documents.Location, object] = {
        ("name",): answers.name,
        ("owners",): list(answers.owners),
        ("lake",): answers.lake,
    }
    files = {
        settings.PATH: documents.edit_yaml(tree.read(settings.PATH), changes),
        settings.DVC_CONFIG: settings.write_remotes(tree.read(settings.DVC_CONFIG), urls),
    }
    schema.require(documents.read_yaml(files[settings.PATH], settings.PATH), "registry")
    descriptions = {
        f"{settings.PATH}: name {now.name} → {answers.name}": now.name != answers.name,
        f"{settings.PATH}: owners {', '.join(now.owners)} → {', '.join(answers.owners)}": now.owners != answers.owners,
        f"{settings.PATH}: lake {now.lake.url} → {answers.lake}": now.lake.url != answers.lake,
    }
    descriptions |= {
        f"{settings.DVC_CONFIG}: {name} {old.get(name, 'none')} → {url}": old.get(name) != url
        for name, url in urls.items()
    }
    examples = () if again or keep_example else tuple(folder for folder in EXAMPLE if tree.list(folder))
    descriptions |= {f"{folder}: the worked example is removed (--keep-example keeps it)": True for folder in examples}
    removed = tuple(entry.path for folder in examples for entry in tree.list(folder))
    return Plan(
        files, removed, tuple(text for text, changed in descriptions.items() if changed) or ("nothing changes",)
    )


def _remotes(answers: Answers) -> tuple[tuple[str, str], ...]:
    return ("staging", answers.staging), ("production", answers.production), ("public", answers.public)


def _require_valid_places(answers: Answers) -> None:
    for url in (answers.staging, answers.production, answers.lake, answers.public):
        _require_no_credentials(url)
    if answers.staging.rstrip("/") == answers.production.rstrip("/"):
        fix = "use two buckets, or two folders of one (--bucket)"
        raise Refused(f"staging and production are both {answers.staging}; they must differ", fix=fix)
    if answers.public and not re.match(r"https?://[^/?#]+(/[^?#]*)?$", answers.public):
        fix = "use the https:// URL under which production's files/md5/ can be read without credentials"
        raise Refused(f"{answers.public.partition('?')[0]} is not a public HTTP URL", fix=fix)


def _require_no_credentials(url: str) -> None:
    if re.search(r"://[^/]*@", url):
        redacted = re.sub(r"://[^/]*@", "://…@", url)
        fix = "remove user and password: credentials come from the environment (AWS_PROFILE, …)"
        raise Refused(f"{redacted} contains credentials, and the file is committed", fix=fix)


def apply(plan: Plan, root: Path) -> None:
    """Write the files, and remove the worked example."""
    for path, data in plan.files.items():
        write_atomically(root / path, data)
    for path in plan.removed:
        (root / path).unlink(missing_ok=True)
    for folder in EXAMPLE:
        if plan.removed and (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
