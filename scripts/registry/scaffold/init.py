"""Sets up a fresh copy of the template as a registry: its name, owners and storage."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.core import documents, schema, settings
from registry.core.atomic_write import write_atomically
from registry.core.settings import Remote, Settings
from registry.core.tree import Tree
from registry.errors import Refused
from registry.scaffold import dvc_remotes
from registry.storage import dvc_config
from registry.storage.endpoints import require_endpoint
from registry.storage.remote_options import require_dvc, require_store, scheme_of

EXAMPLE = ("datasets/cats_dogs", "models/cats_dogs")
_FOLDER = ".registry/"  # below it are the locations that the template has
TEMPLATE_NAME = "registry-template"  # the name in registry.yaml before `registry init`


@dataclass(frozen=True, slots=True)
class Answers:
    """The choices of a new registry: `lake` is where the images are, `public` an HTTP URL of production, if any.

    `endpoint`, `region` and `profile` are for all places in buckets: the URL of a service that is not AWS's or Google's
    own, its region, and the AWS profile of this machine's user.
    """

    name: str
    owners: tuple[str, ...]
    staging: str
    production: str
    lake: str
    public: str = ""
    endpoint: str = ""
    region: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write and to remove, by path from the root, and a description of each change."""

    files: Mapping[str, bytes]
    removed: tuple[str, ...]
    changes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.changes)


def places_in(place: str) -> tuple[str, str]:
    """Staging and production: the buckets NAME-staging and NAME-production of `s3://NAME`, or folders of a folder.

    The names of the buckets are those that `infra/aws.yaml` makes, and that its roles permit.
    """
    is_name = re.fullmatch(r"[a-z0-9+]+://[^/]+/?", place)
    between = "-" if is_name else "/"
    return f"{place.rstrip('/')}{between}staging", f"{place.rstrip('/')}{between}production"


def plan(tree: Tree, answers: Answers, *, local: bytes = b"", again: bool = False, keep_example: bool = False) -> Plan:
    """The changes to make; `local` is the content of `.dvc/config.local`.

    The worked example is removed the first time, unless `keep_example` is set. Raises Refused for a registry that is
    set up already (unless `again`), for a URL that contains credentials, and for a public URL that is
    not plain HTTP; StorageFailed for a place that no store here or no DVC can open, and for an endpoint that is none.
    """
    remotes = dvc_config.parse(tree.read(settings.DVC_CONFIG))
    now = settings.join(settings.read(tree), remotes)
    if is_set_up(now) and not again:
        raise Refused(
            f"the registry {now.file.name} is set up already: "
            f"staging {now.staging.url}, production {now.production.url}",
            fix="pass --again to change it (published objects stay where they are)",
        )
    _require_valid_places(answers)
    places = _places(answers)
    changes: dict[documents.Location, object] = {
        ("name",): answers.name,
        ("owners",): list(answers.owners),
        ("lake",): answers.lake,
    }
    files = {
        settings.PATH: documents.edit_yaml(tree.read(settings.PATH), changes),
        settings.DVC_CONFIG: dvc_remotes.write(tree.read(settings.DVC_CONFIG), places),
    }
    if answers.profile:
        profiles = {name: {"profile": answers.profile} for name in places if name != "public"}
        files[settings.LOCAL_CONFIG] = dvc_remotes.write(local, profiles)
    dvc_config.parse(files[settings.DVC_CONFIG])
    schema.require(documents.read_yaml(files[settings.PATH], settings.PATH), "registry")
    owners = now.file.owners
    descriptions = {
        f"{settings.PATH}: name {now.file.name} → {answers.name}": now.file.name != answers.name,
        f"{settings.PATH}: owners {', '.join(owners)} → {', '.join(answers.owners)}": owners != answers.owners,
        f"{settings.PATH}: lake {now.lake.url} → {answers.lake}": now.lake.url != answers.lake,
    }
    descriptions |= dict.fromkeys(_describe_remotes(places, remotes), True)
    descriptions[f"{settings.LOCAL_CONFIG}: profile {answers.profile}, for this clone only"] = bool(answers.profile)
    examples = () if again or keep_example else tuple(folder for folder in EXAMPLE if tree.list(folder))
    descriptions |= {f"{folder}: the worked example is removed (--keep-example keeps it)": True for folder in examples}
    removed = tuple(entry.path for folder in examples for entry in tree.list(folder))
    return Plan(
        files, removed, tuple(text for text, changed in descriptions.items() if changed) or ("nothing changes",)
    )


def is_set_up(now: Settings) -> bool:
    """Whether a registry has a name, and locations that others can reach: those of the template are in one clone."""
    return now.file.name != TEMPLATE_NAME and not (
        now.staging.url.startswith(_FOLDER) and now.lake.url.startswith(_FOLDER)
    )


def _places(answers: Answers) -> Mapping[str, Mapping[str, str]]:
    """The remotes to write, by name, each with its options. The lake is one where it cannot have staging's options."""
    given = {"staging": answers.staging, "production": answers.production, "public": answers.public}
    if scheme_of(answers.lake) != scheme_of(answers.staging) and _options(answers, answers.lake):
        given["lake"] = answers.lake
    return {name: {"url": url.rstrip("/"), **_options(answers, url)} for name, url in given.items() if url}


def _options(answers: Answers, url: str) -> dict[str, str]:
    """What the answers say of a place, as far as it is one in a bucket that can have the option."""
    scheme = scheme_of(url)
    options = {"endpointurl": answers.endpoint.rstrip("/")} if scheme in {"s3", "gs"} else {}
    if scheme == "s3":
        options["region"] = answers.region
    return {name: value for name, value in options.items() if value}


def _describe_remotes(places: Mapping[str, Mapping[str, str]], old: Mapping[str, Remote]) -> Iterator[str]:
    for name, options in places.items():
        before = {"url": old[name].url, **old[name].options} if name in old else {}
        for option, value in options.items():
            if before.get(option) != value:
                what = name if option == "url" else f"{name} {option}"
                yield f"{settings.DVC_CONFIG}: {what} {before.get(option, 'none')} → {value}"


def _require_valid_places(answers: Answers) -> None:
    for url in (answers.staging, answers.production, answers.lake, answers.public):
        _require_no_credentials(url)
    if answers.staging.rstrip("/") == answers.production.rstrip("/"):
        fix = "use two buckets, or two folders of one: --bucket names both"
        raise Refused(f"staging and production are both {answers.staging}; they must differ", fix=fix)
    if answers.public and not re.match(r"https?://[^/?#]+(/[^?#]*)?$", answers.public):
        fix = "use the https:// URL under which production's files/md5/ can be read without credentials"
        raise Refused(f"{answers.public.partition('?')[0]} is not a public HTTP URL", fix=fix)
    require_store(answers.lake)
    for url in (answers.staging, answers.production):
        require_dvc(url)
        _require_writable(url)
    _require_use(answers)


def _require_writable(url: str) -> None:
    if scheme_of(url) in {"http", "https"}:
        fix = "use the bucket itself (s3://, gs://, azure://); --public is for a web server over production"
        raise Refused(f"{url} is read-only: objects are written to staging and production", fix=fix)


def _require_use(answers: Answers) -> None:
    """Each of endpoint, region and profile is valid, and for one of the places."""
    require_endpoint(answers.endpoint)
    schemes = {scheme_of(url) for url in (answers.staging, answers.production, answers.lake)}
    if answers.endpoint and not schemes & {"s3", "gs"}:
        fix = "omit it; an account of Azure is set with `dvc remote modify --local REMOTE connection_string`"
        raise Refused("--endpoint is for places in s3:// and gs://, and there is none", fix=fix)
    if (answers.region or answers.profile) and "s3" not in schemes:
        raise Refused("--region and --profile are for places in s3://, and there is none", fix="omit them")


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
