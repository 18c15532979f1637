"""What `registry check` warns of where the Git hooks could not do their work: hooks that do not run, and other data."""

from registry.cli.workspace import Workspace, warn
from registry.core.wording import abbreviate, join
from registry.errors import SHOWN, RegistryError
from registry.integrations import hook_install
from registry.integrations.pointer_state import PointerState


def warn_of_hooks(space: Workspace) -> None:
    """Name hooks that were installed and that Git does not run, and data that is not what the pointers say.

    Nothing is said where no hooks were installed, nor of data that is not here.
    """
    if missing := hook_install.find_not_run(space.root):
        fix = "\n  hint: registry hooks install"
        warn(f"Git does not run the hooks {join(missing)}: deleted, replaced or not executable{fix}")
    try:
        if other := _find_other_data(space):
            warn(f"not the data of this commit: {abbreviate(other, SHOWN)}\n  hint: registry checkout")
    except RegistryError:
        return  # a check reports pointers and configurations that cannot be read


def _find_other_data(space: Workspace) -> tuple[str, ...]:
    state = PointerState(space.root)
    if not state.exists():
        return ()
    from registry.storage.cache import open_cache
    from registry.sync import follow  # loads Polars

    return follow.find_other(space.root, open_cache(space.root), state.read())
