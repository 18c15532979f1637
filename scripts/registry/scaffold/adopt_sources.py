"""Opens what is adopted: a local folder, a bucket's folder, or a folder that a DVC repository tracks.

Nothing is read of the images here. A source is asked for its files, and says in which store each of them is.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from polars import DataFrame, col

from registry.core import digests
from registry.core.adoption import Adopted
from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.core.wording import abbreviate, join, plural
from registry.errors import InvalidData, NotFound, Refused, RegistryError, ToolFailed
from registry.integrations import dvc, git, git_elsewhere, git_trees
from registry.scaffold import adopt_dvc
from registry.scaffold.adopt_dvc import Files, NotTracked, RemotePlace, Tracked
from registry.scaffold.adopt_layout import LeftOut
from registry.storage import local
from registry.storage.base import Store, to_frame
from registry.storage.logins import remote_for
from registry.storage.open import open_store
from registry.sync import dir_listing

REMOTE = "adopt"  # the remote in this registry's DVC configuration whose options are used for places of others
OWN = "this registry"  # where a folder that is tracked here is said to be from
_FALLBACKS = (REMOTE, "staging")
_BUCKETS = ("s3://", "gs://", "azure://")
_GIT = re.compile(r"(?:https?|ssh|git|file)://|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:")
_NOTHING = pl.Schema({"path": pl.String, "md5": pl.String, "store": pl.Int64})
FORM = "give a folder, a .dvc file, a Git URL with --path, or s3://BUCKET/FOLDER, gs://, azure://"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be adopted, as it was given: `--from`, `--path`, `--rev` and `--remote`."""

    source: str
    path: str | None = None
    rev: str | None = None
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Here:
    """The registry: its root, the remotes of its DVC configuration, and where its own objects may be."""

    root: Path
    remotes: Mapping[str, Remote]
    stores: Sequence[Store]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The files of a source.

    `files` has path (in the source), md5 (null where only reading tells it), store (an index of `stores`), and key,
    size, etag and modified there; `missing` has path and md5 of those that no store has. `pointer` is the `.dvc` file
    of this registry that was adopted.
    """

    origin: Adopted
    files: DataFrame
    stores: tuple[Store, ...]
    missing: DataFrame = field(default_factory=lambda: DataFrame(schema=_NOTHING))
    left_out: tuple[LeftOut, ...] = ()
    pointer: str = ""

    @property
    def has_md5s(self) -> bool:
        """Whether the files are objects, whose keys are no names."""
        return bool(self.origin.md5)

    def read(self, path: str) -> bytes:
        """A file, such as a table beside the images. Raises NotFound, StorageFailed, InvalidData."""
        found = self.files.filter(col("path") == path).rows(named=True)
        if not found:
            raise NotFound(f"{self.origin}: {path} does not exist")
        data = self.stores[int(found[0]["store"])].get(str(found[0]["key"]))
        # DVC 2 hashed texts with LF line ends, and stored them as they are (`hash: md5-dos2unix` of DVC 3).
        if found[0]["md5"] not in {None, digests.md5(data), digests.md5(data.replace(b"\r\n", b"\n"))}:
            raise InvalidData(f"{self.origin}: {path} is damaged", [], fix="run `dvc push` where it is undamaged")
        return data


def open_source(asked: Asked, here: Here) -> Source:
    """The source that was asked for. Raises NotFound, Refused, StorageFailed, InvalidDocument."""
    folder = Path(asked.source).expanduser()
    is_path = bool(asked.source) and folder.exists()
    if asked.source.startswith(_BUCKETS):
        _require_unused(asked, "--path", "--rev", "--remote")
        return _open_bucket(asked.source, here)
    if is_path and (_is_repository(folder) or asked.path is not None):
        return _open_local_repository(asked, folder, here)
    if is_path:
        _require_unused(asked, "--rev", "--remote")
        return _open_folder(folder)
    if _GIT.match(asked.source):
        return _open_remote_repository(asked, here)
    raise NotFound(f"{asked.source or 'a source without a name'} does not exist", fix=FORM)


def _require_unused(asked: Asked, *options: str) -> None:
    values = {"--path": asked.path, "--rev": asked.rev, "--remote": asked.remote}
    for option in options:
        if values[option] is not None:
            raise Refused(f"{option} is for a DVC repository: {asked.source} is none", fix=f"leave {option} out")


# --- folders and buckets ----------------------------------------------------------------------------------------------


def _open_folder(folder: Path) -> Source:
    """A folder on this machine; its name alone is recorded."""
    if not folder.is_dir():
        raise Refused(f"{folder} is not a folder", fix=FORM)
    top = folder.resolve()
    found, left_out = list[str](), list[LeftOut]()
    for path, why in _walk(top):
        shown = path.encode(errors="backslashreplace").decode()
        if why:
            left_out.append(LeftOut(shown, why))
        else:
            found.append(path)
    store = local.Folder(top)
    return Source(Adopted(top.name or "/"), _listed(store.find_many(found)), (store,), left_out=tuple(left_out))


def _walk(top: Path) -> Iterator[tuple[str, str]]:
    """The path of each file below a folder, and why it is not taken; links to folders are not followed."""

    def fail(error: OSError) -> None:
        raise Refused(f"{error.filename} cannot be read: {error.strerror}", fix="get permission to read it")

    for at, folders, names in os.walk(top, onerror=fail):
        links = [name for name in folders if (Path(at) / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links))
        for name in sorted([*names, *links]):
            file = Path(at) / name
            yield file.relative_to(top).as_posix(), _why_not_taken(file, top)


def _why_not_taken(file: Path, top: Path) -> str:
    try:
        mode = file.stat().st_mode
    except OSError:
        return "a link to nothing" if file.is_symlink() else "cannot be read"
    if not stat.S_ISREG(mode):
        return "a link to a folder" if file.is_symlink() else "no regular file"
    if file.is_symlink() and not file.resolve().is_relative_to(top) and ".dvc/cache" not in file.resolve().as_posix():
        return "a link out of the folder"
    return "" if os.access(file, os.R_OK) else "cannot be read"


def _open_bucket(url: str, here: Here) -> Source:
    place = url.rstrip("/")
    if "@" in place or "?" in place or "#" in place:
        shown = place.partition("?")[0].rpartition("@")[2]
        fix = "leave it out: the login is that of this registry's remote in the bucket, or of its remote `adopt`"
        raise Refused(f"{shown}: the URL has a login or a query, which would be recorded", fix=fix)
    store = open_store(remote_for(place, here.remotes, _FALLBACKS), here.root)
    store.require_readable()
    return Source(Adopted(place), _listed(store.list()), (store,))


def _listed(objects: DataFrame) -> DataFrame:
    return objects.with_columns(path="key", md5=pl.lit(None, pl.String), store=pl.lit(0, pl.Int64))


# --- DVC repositories -------------------------------------------------------------------------------------------------


def _is_repository(folder: Path) -> bool:
    """Whether it is a repository that DVC may know, or a `.dvc` file of one."""
    return folder.suffix == ".dvc" or (folder / ".dvc").is_dir() or _is_bare(folder)


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def _open_local_repository(asked: Asked, folder: Path, here: Here) -> Source:
    """A repository on this machine: as it is there, or at a commit of it."""
    if _is_bare(folder):
        return _open_remote_repository(asked, here)
    is_pointer, place = folder.suffix == ".dvc" and folder.is_file(), folder.resolve()
    root = (
        find_repository(place.parent) if is_pointer else place / adopt_dvc.find_top(adopt_dvc.Folder(place), asked.path)
    )
    if not (root / ".dvc").is_dir():
        raise Refused(f"{folder} is no DVC repository: it has no folder .dvc", fix="leave --path out for a folder")
    is_own = root == here.root.resolve()
    path = place.relative_to(root).as_posix() if is_pointer else asked.path
    if path is not None and not is_pointer:
        path = adopt_dvc.inside(path, root.relative_to(place).as_posix())
    name = OWN if is_own else _public_name(root)
    files = _at_revision(root, asked.rev) if asked.rev else adopt_dvc.Folder(root)
    if path is None:
        adopt_dvc.require_path(files, name)
    tracked = _find_tracked(root, files, path or "", name)
    own = local.Folder(dvc.cache_dir(root))
    remote = None if is_own else adopt_dvc.find_remote(files, name, asked.remote, is_local=True)
    stores = [*here.stores] if is_own else [own, *([_open_remote(remote, root, here)] if remote else [])]
    commit = git.resolve_commit(root, asked.rev) if asked.rev else _commit_with(root, f"{tracked.path}.dvc", files)
    pointer = f"{tracked.path}.dvc" if is_own and files.has(f"{tracked.path}.dvc") else ""
    recorded = f"{_public_start(root, name)}{_path(tracked)}"
    return _of_objects(Adopted(name, recorded, commit, tracked.md5), tracked, stores, pointer)


def _find_tracked(root: Path, files: Files, path: str, name: str) -> Tracked:
    try:
        return adopt_dvc.find_tracked(files, path, name)
    except NotTracked as error:  # a sparse checkout, or a pointer that was deleted
        if isinstance(files, adopt_dvc.Folder) and git.find_id(root, f"HEAD:./{path.removesuffix('.dvc')}.dvc"):
            fix = "use --rev HEAD, which has it; the working tree has not"
            raise NotTracked(error.message, fix=fix) from error
        raise


def find_repository(start: Path) -> Path:
    """The top of the DVC repository around a folder. Raises Refused where there is none."""
    for folder in (start, *start.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise Refused(f"{start} is in no DVC repository: it has no folder .dvc", fix=FORM)


def _public_name(root: Path) -> str:
    """The URL that the repository has as its origin, without a login; else the name of its folder, or its origin's."""
    try:
        url = git.remote_url(root)
    except RegistryError:
        return root.name
    is_public = _GIT.match(url) and not url.startswith("file://")
    return without_login(url) if is_public else Path(url.removeprefix("file://")).name or root.name


def _public_start(root: Path, name: str) -> str:
    """Where the folder is in the repository that is called by its URL; a folder's name is that of the folder itself."""
    return git.prefix(root) if _GIT.match(name) else ""


def without_login(url: str) -> str:
    """The URL of a repository, as it may be shown and recorded."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", url)


def _at_revision(root: Path, revision: str) -> Files:
    return _Revision(git_trees.Revision(root, revision), git.prefix(root))


def _commit_with(root: Path, path: str, files: Files) -> str:
    """HEAD, if it has this pointer as it is in the folder; else empty."""
    try:
        head = git.resolve_commit(root, "HEAD")
        committed = _at_revision(root, head).read(path)
    except (ToolFailed, NotFound):
        return ""
    return head if files.has(path) and files.read(path) == committed else ""


class _Revision:
    """The files of a commit, as `adopt_dvc` reads them: those below a folder (`team/`), or all of them."""

    def __init__(self, tree: git_trees.Revision, top: str = "") -> None:
        self._tree, self._top = tree, top

    def has(self, path: str) -> bool:
        """See `Files.has`."""
        wanted = self._top + path
        return any(entry.path == wanted and not entry.is_link for entry in self._tree.list(wanted))

    def read(self, path: str) -> bytes:
        """See `Files.read`."""
        return self._tree.read(self._top + path)

    def paths(self) -> Iterator[str]:
        """See `Files.paths`."""
        return (entry.path.removeprefix(self._top) for entry in self._tree.list(self._top.rstrip("/")))


def _open_remote_repository(asked: Asked, here: Here) -> Source:
    """A repository by its URL: one commit of it is fetched, and nothing of it is checked out."""
    is_path = Path(asked.source).expanduser().exists()
    url = str(Path(asked.source).expanduser().absolute()) if is_path else asked.source
    name, is_local = without_login(url), is_path or url.startswith("file://")
    with TemporaryDirectory(prefix="registry-adopt-") as folder:
        git_elsewhere.fetch_shallow(Path(folder), url, asked.rev or "HEAD")
        with git_trees.Revision(Path(folder), "FETCH_HEAD") as tree:
            if asked.path is None:
                adopt_dvc.require_path(_Revision(tree), name)
            path = asked.path or ""
            if module := next((one for one in tree.submodules() if path.startswith(f"{one}/")), ""):
                raise Refused(
                    f"{name}: {module} is a submodule", fix="name the repository of the submodule with --from"
                )
            top = adopt_dvc.find_top(_Revision(tree), path)
            start = f"{top}/" if top else ""
            files = _Revision(tree, start)
            tracked = adopt_dvc.find_tracked(files, adopt_dvc.inside(path, top), name)
            remote = adopt_dvc.find_remote(files, name, asked.remote, is_local=is_local)
            commit = tree.commit
    if remote is None:
        raise Refused(f"{name} has no remote that says where its objects are", fix=adopt_dvc.CLONE)
    root = Path(url.removeprefix("file://")) / top if is_local else here.root
    recorded = Path(name).name if is_local else name
    return _of_objects(
        Adopted(recorded, f"{start}{_path(tracked)}", commit, tracked.md5), tracked, [_open_remote(remote, root, here)]
    )


def _path(tracked: Tracked) -> str:
    return f"{tracked.path}/{tracked.inside}" if tracked.inside else tracked.path


def _open_remote(remote: RemotePlace, root: Path, here: Here) -> Store:
    """The store of another repository's remote: its URL, and how this registry logs in there."""
    if "://" not in remote.url:
        return local.Folder(root / remote.url)
    return open_store(remote_for(remote.url, here.remotes, _FALLBACKS), here.root)


def _of_objects(origin: Adopted, tracked: Tracked, stores: Sequence[Store], pointer: str = "") -> Source:
    """The files of a `.dir` object, and where each of their objects is."""
    listing = _read_dir(origin, tracked, stores)
    start = f"{tracked.inside}/" if tracked.inside else ""
    files = listing.filter(col("relpath").str.starts_with(start)).select(
        "md5", path=col("relpath").str.strip_prefix(start)
    )
    if files.is_empty():
        folders = sorted({path.partition("/")[0] for path in listing["relpath"] if "/" in path})
        fault = f"{origin.place}: {tracked.path} has no folder {tracked.inside}"
        raise NotFound(fault, fix=f"name {tracked.path}, or one of {abbreviate(folders, 10)}" if folders else FORM)
    wanted, found = files.select("md5").unique(), list[DataFrame]()
    for number, store in enumerate(stores):
        for layout in _layouts(tracked):
            keys = wanted.select("md5", key=layout_of(layout))
            there = keys.join(store.find_many(keys["key"].to_list()), on="key")
            found.append(there.with_columns(store=pl.lit(number, pl.Int64)))
            wanted = wanted.join(there, on="md5", how="anti")
    placed = files.join(
        pl.concat([_no_objects(), *found], how="diagonal_relaxed"), on="md5", how="left", maintain_order="left"
    )
    missing = files.join(wanted, on="md5", how="semi")
    return Source(origin, placed, tuple(stores), missing, pointer=pointer)


def _no_objects() -> DataFrame:
    return to_frame([]).with_columns(md5=pl.lit(None, pl.String), store=pl.lit(0, pl.Int64))


_DVC_2, _DVC_3 = "", "files/md5/"


def _layouts(tracked: Tracked) -> tuple[str, str]:
    """In front of which the keys of objects are, in this repository and, since DVC can convert it, otherwise."""
    return (_DVC_2, _DVC_3) if tracked.is_legacy else (_DVC_3, _DVC_2)


def layout_of(start: str) -> pl.Expr:
    """The key of an object, of the column md5."""
    return pl.concat_str(pl.lit(start), col("md5").str.head(2), pl.lit("/"), col("md5").str.slice(2))


def _read_dir(origin: Adopted, tracked: Tracked, stores: Sequence[Store]) -> DataFrame:
    """The files that the `.dir` object lists. Raises NotFound where no store has it, Refused where it is no list."""
    keys = (object_key(tracked.md5), object_key(tracked.md5).removeprefix(_DVC_3))
    fault = ""
    for store in stores:
        for key in keys:
            try:
                return dir_listing.read_foreign(store.get(key), tracked.md5)
            except NotFound:
                continue
            except Refused as error:
                fault = fault or f"{store.url}/{key}: {error.message}"
    if fault:
        raise Refused(f"{origin.place}: {fault}", fix="run `dvc push` in that repository where the data is undamaged")
    places = join([store.url for store in stores])
    raise NotFound(f"{origin.place}: the list of {tracked.path}, {tracked.md5}, is not in {places}", fix=_PUSH)


_PUSH = "run `dvc push` in that repository, where the data is; or --remote NAME for another remote"


def require_complete(source: Source, images: Sequence[str]) -> None:
    """Raise InvalidData where a store lacks objects of these files."""
    lost = source.missing.filter(col("path").is_in(images))["path"].sort().to_list()
    if lost:
        places = join([store.url for store in source.stores])
        fault = f"{source.origin}: {plural(len(lost), 'image')} of {len(images):,} not in {places}"
        raise InvalidData(fault, lost, fix=_PUSH)
