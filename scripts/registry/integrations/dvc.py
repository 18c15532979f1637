"""DVC in our words: where its caches are, and linking data out of them. Nothing of ours runs `dvc gc`."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from registry.errors import InvalidDocument
from registry.integrations import git
from registry.integrations.process import run, tool_path


def dvc(root: Path, *args: str, quiet: bool = False) -> str:
    """One DVC command's standard output: the DVC beside this interpreter, telling nobody about it."""
    env = {"PATH": tool_path(), "DVC_NO_ANALYTICS": "1"}
    return run(["dvc", *args], cwd=root, env=env, quiet=quiet).decode(errors="replace")


def cache_dir(root: Path) -> Path:
    """Where DVC keeps the objects of this checkout: `cache.dir` of its four configs, or `.dvc/cache`.

    A store over this folder has the layout of `pointers.object_key`.
    """
    found = Path(".dvc", "cache")
    for config in _configs(root):
        if value := _configured_cache(config):
            found = config.parent / Path(value).expanduser()
    return Path(os.path.normpath(root / found))


def _configs(root: Path) -> Iterator[Path]:
    """DVC's four, as `dvc.dirs` (3.67) has them, the last one first obeyed: to import dvc.config takes 0.2 s."""
    import platformdirs

    yield Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative"), "config")
    yield Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative"), "config")
    yield root.absolute() / ".dvc" / "config"
    yield root.absolute() / ".dvc" / "config.local"


def _configured_cache(config: Path) -> str | None:
    from configobj import ConfigObj, ConfigObjError

    try:
        sections = ConfigObj(config.read_text(encoding="utf-8").splitlines()).dict()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ConfigObjError) as error:
        where = ".dvc/config" if config.parent.name == ".dvc" else str(config)
        raise InvalidDocument(where, f"DVC cannot read it: {error}", fix="dvc config --list") from error
    cache = sections.get("cache")
    return cache.get("dir") if isinstance(cache, dict) else None


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


def configure_guest(root: Path, cache: Path) -> None:
    """Make a temporary checkout keep its objects in another's cache, and all that DVC remembers in itself."""
    from configobj import ConfigObj

    config = ConfigObj(interpolation=False)
    config["cache"] = {"dir": str(cache.absolute())}
    config["core"] = {"site_cache_dir": str(root.absolute() / ".dvc" / "tmp" / "site")}
    (root / ".dvc" / "config.local").write_bytes(("\n".join(config.write()) + "\n").encode())


def repro(root: Path, target: str) -> None:
    """Run the stages of a `dvc.yaml` whose inputs changed; talks to stderr.

    The run cache answers from this machine alone: DVC 3.67 pushes no object of a metric with `cache: false`, and
    without them a stage cannot be restored elsewhere.
    """
    run(["dvc", "repro", target], cwd=root, env={"PATH": tool_path(), "DVC_NO_ANALYTICS": "1"}, capture=False)


def retrain(root: Path, target: str) -> None:
    """Run every stage of a `dvc.yaml` as if for the first time, keeping no output in the cache; talks to stderr."""
    env = {"PATH": tool_path(), "DVC_NO_ANALYTICS": "1"}
    anew = ("--force", "--no-run-cache", "--no-commit", "--quiet")
    run(["dvc", "repro", *anew, target], cwd=root, env=env, capture=False)
