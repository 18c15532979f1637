"""Adopting what exists, for `registry adopt`: one state of a source, or a version for each of its tags."""

from collections.abc import Sequence
from dataclasses import replace

from registry.cli import comparing, preparing
from registry.cli.workspace import Workspace
from registry.console import say
from registry.core import layout, manifests
from registry.core.adoption import Adopted
from registry.core.atomic_write import clear_leftovers, write_atomically
from registry.core.progress import bar, waiting
from registry.core.tree import Tree
from registry.core.values import ArtifactId, DatasetManifest, Version
from registry.dataset import build as building
from registry.dataset import diff
from registry.dataset import select as selecting
from registry.errors import InvalidDocument, Refused, RegistryError
from registry.integrations import git, git_trees
from registry.release import refresh
from registry.scaffold import adopt, adopt_layout, adopt_rows, adopt_sources, adopt_tags, generated_files
from registry.scaffold.adopt import Plan, Request
from registry.scaffold.adopt_dvc import NotTracked
from registry.scaffold.adopt_layout import LeftOut
from registry.scaffold.adopt_sources import Asked, Here
from registry.scaffold.adopt_tags import Opened, Series, Step, Tagged
from registry.storage import dvc_config


def where(space: Workspace) -> Here:
    """Where this registry is, and how it logs in."""
    stores = space.stores
    return Here(space.root, dvc_config.load(space.root), (stores.cache, stores.staging, stores.production))


def apply(space: Workspace, plan: Plan) -> building.BuildResult:
    """Take the images, and write the dataset's files."""
    places, artifact = preparing.build_places(space), plan.request.artifact
    current = selecting.read_current(space.root, artifact, space.read_object)
    pending = plan.pending
    with bar("taking images", len(pending), int(pending["size"].sum())) as progress:
        read, damaged = adopt.take(plan, places, progress)
    rows = adopt.keep_columns(adopt_rows.make(plan.images, plan.classes, plan.metadata, read), plan.before)
    files = adopt.write_up(plan, rows, space.tree, current)
    for line in (*files.told, *adopt_layout.describe(damaged)):
        say(line)
    adopt.write(files, space.root, space.cache_dir)
    return building.apply(building.plan(files.manifest, places), places)


# --- tags -------------------------------------------------------------------------------------------------------------


def plan_tags(space: Workspace, request: Request, asked: Asked, patterns: Sequence[str]) -> Series:
    """The versions that the tags become which HEAD does not have yet. Raises as `adopt.plan`, naming the tag."""
    git.resolve_commit(space.root, "HEAD")
    with waiting(f"looking for tags of {asked.source}"):
        tags = adopt_tags.find(space.root, asked.source, patterns)
    opened, left_out = list[Opened](), list[LeftOut]()
    with git_trees.Revision(space.root, "HEAD") as head:
        before = _committed(head, request.artifact)
        for tag in adopt_tags.next_of(tags, before.source if before and isinstance(before.source, Adopted) else None):
            with waiting(f"looking at {tag.name}"):
                try:
                    opened.append(Opened(tag, _plan(space, request, asked, tag, head)))
                except NotTracked as error:
                    left_out.append(LeftOut(tag.name, error.message.partition(": ")[2]))
    if not opened:
        raise Refused(f"none of the tags has what is to be adopted: {left_out[0].why}", fix="name another --path")
    return adopt_tags.series(request.artifact, opened, left_out, before)


def _committed(head: Tree, artifact: ArtifactId) -> DatasetManifest | None:
    return manifests.load_dataset(head, artifact) if head.has(layout.manifest_path(artifact)) else None


def _plan(space: Workspace, request: Request, asked: Asked, tag: Tagged, tree: Tree) -> Plan:
    try:
        source = adopt_sources.open_source(replace(asked, rev=tag.ref), where(space))
        if source.origin.place == adopt_sources.OWN:
            raise Refused("--tags is for another repository", fix="git clone . ../old, and name that folder")
        return adopt.plan(tree, request, source, preparing.build_places(space))
    except RegistryError as error:
        error.message = f"tag {tag.name}: {error.message}"
        raise


def _require_complete(space: Workspace, request: Request) -> None:
    """Raise Refused where a manifest would have placeholders."""
    given = {"--description": request.words.description, "--license": request.words.license}
    missing = [option for option, text in given.items() if not text]
    if missing and not space.tree.has(layout.manifest_path(request.artifact)):
        raise Refused("--tags commits each version, which has to be complete", fix=f"give {' and '.join(missing)}")


def _require_place(space: Workspace, series: Series) -> None:
    """Raise Refused where files have changes that are not those of a version that was interrupted."""
    folders = (str(series.artifact), *generated_files.FILES)
    changed = [path for folder in folders for path in git.uncommitted_paths(space.root, folder)]
    if changed and not _is_of(space, series.steps[0]):
        raise Refused(
            f"{changed[0]} has uncommitted changes, which would become part of a version",
            fix="git commit, or git stash --include-untracked",
        )


def _is_of(space: Workspace, step: Step) -> bool:
    """Whether the working tree has this version, whole or in part."""
    try:
        manifest = _committed(space.tree, step.plan.request.artifact)
    except InvalidDocument:
        return False
    return bool(manifest and manifest.source == step.plan.source.origin)


def apply_tags(space: Workspace, series: Series) -> None:
    """Make and commit each version; what was committed before an interruption stays.

    Raises Refused where nothing may be committed.
    """
    if not series.steps:
        return
    git.require_identity(space.root)
    _require_complete(space, series.steps[0].plan.request)
    _require_place(space, series)
    for step in series.steps:
        _apply_tag(Workspace(space.root), step)


def _apply_tag(space: Workspace, step: Step) -> None:
    artifact, origin = step.plan.request.artifact, step.plan.source.origin
    say(f"{step.tagged.name}: {len(step.plan.images):,} images", err=True)
    plan = adopt.plan(space.tree, step.plan.request, step.plan.source, preparing.build_places(space))
    result = apply(space, plan)
    version = _find_version(Workspace(space.root), step)
    path, data = refresh.with_version(git_trees.WorkTree(space.root), artifact, version)
    write_atomically(space.root / path, data)
    clear_leftovers(space.root / path)  # of a run that was killed: what follows commits the folder
    space.write_generated_files()
    message = f"{artifact} {version}: {step.tagged.name} of {replace(origin, commit='')}\n"
    paths = [
        one
        for one in git.changed_paths(space.root, "HEAD")
        if one.startswith(f"{artifact}/") or one in generated_files.FILES
    ]
    git.commit_paths(space.root, paths, message)
    say(f"{artifact} {version}: {step.tagged.name}, {result.build.images:,} images")


def _find_version(space: Workspace, step: Step) -> Version:
    """The version, by what changed since HEAD now that the images have been read."""
    artifact = step.plan.request.artifact
    with git_trees.Revision(space.root, "HEAD") as head:
        before = _committed(head, artifact)
        if before is None:
            return step.tagged.says or adopt_tags.FIRST
        options = comparing.diff_options(space, pictures=False, near_duplicates=False)
        (change,) = diff.compare(head, space.tree, options, artifact)
    found = [change.required_bump] if change.required_bump else []
    version, _ = adopt_tags.choose(step.tagged.says, before.version, found)
    if version != step.version:
        say(f"{step.tagged.name}: {version} instead of {step.version}, because of what was read of the images")
    return version
