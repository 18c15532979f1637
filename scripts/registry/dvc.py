"""DVC in our words: where its caches are, and linking data out of them. Nothing of ours runs `dvc gc`."""

from collections.abc import Iterable
from pathlib import Path

from registry import git
from registry.errors import InvalidDocument
from registry.proc import run, tool_path


def dvc(root: Path, *args: str, quiet: bool = False) -> str:
    """One DVC command's standard output: the DVC beside this interpreter, telling nobody about it."""
    env = {"PATH": tool_path(), "DVC_NO_ANALYTICS": "1"}
    return run(["dvc", *args], cwd=root, env=env, quiet=quiet).decode(errors="replace")


def cache_dir(root: Path) -> Path:
    """Where DVC keeps the objects of this checkout: `cache.dir` of its four configs, or `.dvc/cache`.

    A store over this folder has the layout of `pointers.object_key`.
    """
    from dvc.config import Config, ConfigError  # dvc.config alone: `dvc cache dir` takes ten times as long

    try:
        configured = Config(str(root / ".dvc"))["cache"].get("dir")
    except ConfigError as error:
        raise InvalidDocument(".dvc/config", f"DVC cannot read it: {error}", fix="dvc config --list") from error
    return Path(configured) if configured else root / ".dvc" / "cache"


def cache_dirs(root: Path) -> tuple[Path, ...]:
    """The caches of this checkout and of the others that share its Git repository, its own first.

    DVC gives every linked worktree a cache of its own, but a commit is pushed from any of them.
    """
    folders = (cache_dir(tree) for tree in (root, *git.worktrees(root)) if (tree / ".dvc").is_dir())
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def checkout(root: Path, pointers: Iterable[str]) -> None:
    """Link the data of these `.dvc` and `dvc.lock` files, as far as the cache holds it whole.

    What a person changed and DVC does not hold stays as it is: then ToolFailed. An output that lacks one object is
    not linked at all, and no error.
    """
    targets = [path.replace("dvc.lock", "dvc.yaml") if path.endswith("/dvc.lock") else path for path in pointers]
    if targets:
        dvc(root, "checkout", "--allow-missing", *targets, quiet=True)
