"""Starts the copy of the tooling that lies beside this file in Git's folder, for a hook.

`python -I -S` runs it: no `.pth` file, no `sitecustomize`, no variable of the environment and no folder of the checkout
adds to what is imported.
"""

import runpy
import sys
from pathlib import Path


def main(home: Path) -> None:
    """Run the command of `sys.argv`. `packages` lists the folders of the libraries, relative to `home` or absolute."""
    folders = (home / "packages").read_text(encoding="utf-8").splitlines()
    sys.path[:0] = [str(home / "tooling")]
    sys.path += [str(home / folder) for folder in folders]
    try:
        runpy.run_module("registry", run_name="__main__", alter_sys=True)
    except ImportError as error:
        sys.exit(f"registry: the tooling of the Git hooks cannot start: {error}\n  hint: make setup")


if __name__ == "__main__":
    main(Path(__file__).resolve().parent)
