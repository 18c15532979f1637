"""Turning a fresh copy of the template into somebody's registry: its name, its owners, where its bytes live."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.core import documents, schema, settings
from registry.core.atomic_write import write_atomically
from registry.core.tree import Tree
from registry.errors import Refused

EXAMPLE = ("datasets/cats_dogs", "models/cats_dogs")
TEMPLATE_NAME = "registry-template"  # the name in registry.yaml before anybody has run `registry init`


@dataclass(frozen=True, slots=True)
class Answers:
    """What `init` needs to know; `lake` is where the images are, `public` production's HTTP face, if it has one."""

    name: str
    owners: tuple[str, ...]
    staging: str
    production: str
    lake: str
    public: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write and to remove, by path from the root, and what each change is in words."""

    files: Mapping[str, bytes]
    removed: tuple[str, ...]
    changes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.changes)


def places_in(bucket: str) -> tuple[str, str]:
    """Staging and production as folders of one bucket."""
    return f"{bucket.rstrip('/')}/staging", f"{bucket.rstrip('/')}/production"


def plan(tree: Tree, answers: Answers, *, again: bool = False, keep_example: bool = False) -> Plan:
    """What has to change; the worked example goes the first time, unless it is to stay.

    Raises Refused when it was done before (unless `again`), for a URL that holds a secret, and for a public one that a
    stranger cannot read.
    """
    now = settings.load(tree)
    if now.name != TEMPLATE_NAME and not again:
        raise Refused(
            f"this is the registry {now.name} already: staging is {now.staging.url}, production {now.production.url}",
            fix="pass --again if you mean to change it (published objects stay where they are)",
        )
    _refuse_places(answers)
    old = {name: remote.url for name, remote in settings.read_remotes(tree.read(settings.DVC_CONFIG)).items()}
    urls = {name: url.rstrip("/") for name, url in _remotes(answers) if url}
    changes = {("name",): answers.name, ("owners",): list(answers.owners), ("lake",): answers.lake}
    files = {
        settings.PATH: documents.edit_yaml(tree.read(settings.PATH), changes),
        settings.DVC_CONFIG: settings.write_remotes(tree.read(settings.DVC_CONFIG), urls),
    }
    schema.require(documents.read_yaml(files[settings.PATH], settings.PATH), "registry")
    words = {
        f"{settings.PATH}: name {now.name} → {answers.name}": now.name != answers.name,
        f"{settings.PATH}: owners {', '.join(now.owners)} → {', '.join(answers.owners)}": now.owners != answers.owners,
        f"{settings.PATH}: lake {now.lake.url} → {answers.lake}": now.lake.url != answers.lake,
    }
    words |= {
        f"{settings.DVC_CONFIG}: {name} {old.get(name, 'none')} → {url}": old.get(name) != url
        for name, url in urls.items()
    }
    leaving = () if again or keep_example else tuple(folder for folder in EXAMPLE if tree.list(folder))
    words |= {f"{folder}: the worked example is removed (--keep-example keeps it)": True for folder in leaving}
    removed = tuple(entry.path for folder in leaving for entry in tree.list(folder))
    return Plan(files, removed, tuple(text for text, changed in words.items() if changed) or ("nothing changes",))


def _remotes(answers: Answers) -> tuple[tuple[str, str], ...]:
    return ("staging", answers.staging), ("production", answers.production), ("public", answers.public)


def _refuse_places(answers: Answers) -> None:
    for url in (answers.staging, answers.production, answers.lake, answers.public):
        _refuse_secrets(url)
    if answers.staging.rstrip("/") == answers.production.rstrip("/"):
        fix = "give them two buckets, or two folders of one (--bucket)"
        raise Refused(f"staging and production are both {answers.staging}: nothing would ever be published", fix=fix)
    if answers.public and not re.match(r"https?://[^/?#]+(/[^?#]*)?$", answers.public):
        fix = "give the https:// address under which everybody can read production's files/md5/…"
        raise Refused(f"{answers.public.partition('?')[0]} cannot be the public face of production", fix=fix)


def _refuse_secrets(url: str) -> None:
    if re.search(r"://[^/]*@", url):
        shown = re.sub(r"://[^/]*@", "://…@", url)
        fix = "leave user and password out: credentials come from the environment (AWS_PROFILE, …)"
        raise Refused(f"{shown} holds credentials, and this file is committed", fix=fix)


def apply(plan: Plan, root: Path) -> None:
    """Write the files, and remove those of the worked example."""
    for path, data in plan.files.items():
        write_atomically(root / path, data)
    for path in plan.removed:
        (root / path).unlink(missing_ok=True)
    for folder in EXAMPLE:
        if plan.removed and (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
