"""DVC: where its caches are, checking data out of them, running stages. `dvc gc` is never run."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from registry.core import committed_config, settings
from registry.core.atomic_write import write_atomically
from registry.errors import InvalidDocument
from registry.integrations import git
from registry.integrations.process import run, tool_path


def dvc(root: Path, *args: str, quiet: bool = False) -> str:
    """The standard output of a DVC command; runs the DVC beside this interpreter, without analytics."""
    return run(["dvc", *args], cwd=root, env=_environment(), quiet=quiet).decode(errors="replace")


def _environment() -> dict[str, str]:
    return {"PATH": tool_path(), "DVC_NO_ANALYTICS": "1"}


def cache_dir(root: Path) -> Path:
    """Where DVC keeps the objects of this checkout: `cache.dir` of its four configuration files, or `.dvc/cache`.

    A store over this folder has the layout of `digests.object_key`. Raises InvalidDocument for a file that cannot be
    read, and in a registry for a committed file that says where the cache is.
    """
    found = Path(".dvc", "cache")
    for config in _configs(root):
        if value := _option(config, "cache", "dir"):
            if config == _committed(root) and (root / settings.PATH).is_file():
                committed_config.forbid_cache_folder(settings.DVC_CONFIG)
            found = config.parent / Path(value).expanduser()
    return Path(os.path.normpath(root / found))


def _configs(root: Path) -> Iterator[Path]:
    """DVC's configuration files as in `dvc.dirs` (3.67); later ones override. Importing dvc.config takes 0.2 s."""
    import platformdirs  # only here: few commands need the cache

    yield Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative"), "config")
    yield Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative"), "config")
    yield _committed(root)
    yield root.absolute() / ".dvc" / "config.local"


def _committed(root: Path) -> Path:
    return root.absolute() / ".dvc" / "config"


def own_option(root: Path, section: str, name: str) -> str | None:
    """An option of the user's own configuration, without `.dvc/config`, which a commit brings."""
    values = [_option(config, section, name) for config in _configs(root) if config != _committed(root)]
    return next((value for value in reversed(values) if value), None)


def _option(config: Path, section: str, name: str) -> str | None:
    from configobj import ConfigObj, ConfigObjError  # only here: few commands need the cache

    try:
        text = config.read_text(encoding="utf-8")
        committed_config.require_size(text, _shown(config))
        sections = ConfigObj(text.splitlines()).dict()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ConfigObjError) as error:
        raise InvalidDocument(
            _shown(config), f"not a DVC configuration file: {error}", fix="dvc config --list"
        ) from error
    found = sections.get(section)
    value = found.get(name) if isinstance(found, dict) else None
    if value is not None and not isinstance(value, str):
        fix = f"quote the value of {section}.{name}, because it contains a comma"
        raise InvalidDocument(_shown(config), f"{section}.{name} is a list of values", fix=fix)
    return value


def _shown(config: Path) -> str:
    return f".dvc/{config.name}" if config.parent.name == ".dvc" else str(config)


def cache_dirs(root: Path) -> tuple[Path, ...]:
    """The caches of all working trees of this repository, this one's first.

    DVC gives each linked working tree its own cache, but a commit may be pushed from any of them.
    """
    folders = (cache_dir(tree) for tree in (root, *git.worktrees(root)) if (tree / ".dvc").is_dir())
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def share_cache(root: Path) -> None:
    """Let a linked working tree that has no cache, and none configured, use the main one's.

    DVC would give it one of its own, and everything would be downloaded again.
    """
    local, own = root / ".dvc" / "config.local", root / ".dvc" / "cache"
    main = git.worktrees(root)[0]
    if main.resolve() == root.resolve() or not (root / ".dvc").is_dir() or local.exists() or own.exists():
        return
    if cache_dir(root) == own and (main / ".dvc").is_dir():
        write_atomically(local, f"[cache]\n    dir = {json.dumps(str(cache_dir(main).absolute()))}\n".encode())


def checkout(root: Path, pointers: Iterable[str]) -> None:
    """Check out the data of these `.dvc` and `dvc.lock` files, as far as the cache has all of an output's objects.

    Raises ToolFailed for local changes that are not in the cache, which are kept. An output that lacks an object is
    skipped without an error.
    """
    targets = [path.replace("dvc.lock", "dvc.yaml") if path.endswith("/dvc.lock") else path for path in pointers]
    if targets:
        dvc(root, "checkout", "--allow-missing", *targets, quiet=True)


def configure_guest(root: Path, cache: Path) -> None:
    """Make a temporary checkout use another one's cache, and keep DVC's state in its own folder."""
    from configobj import ConfigObj  # only here: few commands need the cache

    config = ConfigObj(interpolation=False)
    config["cache"] = {"dir": str(cache.absolute())}
    config["core"] = {"site_cache_dir": str(root.absolute() / ".dvc" / "tmp" / "site")}
    (root / ".dvc" / "config.local").write_bytes(("\n".join(config.write()) + "\n").encode())


def repro(root: Path, target: str) -> None:
    """Run the stages of a `dvc.yaml` whose inputs changed; all output goes to stderr.

    Only this machine's run cache is used: DVC 3.67 pushes no object of a metric with `cache: false`, and without them a
    stage cannot be restored on another machine.
    """
    run(["dvc", "repro", target], cwd=root, env=_environment(), capture=False)


def retrain(root: Path, target: str) -> None:
    """Run every stage of a `dvc.yaml` without any cache, and store no output in it; all output goes to stderr."""
    options = ("--force", "--no-run-cache", "--no-commit", "--quiet")
    run(["dvc", "repro", *options, target], cwd=root, env=_environment(), capture=False)
