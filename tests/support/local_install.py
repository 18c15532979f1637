"""Stands in for `python3 scripts/install.py` in a copy, without a package index: `make PYTHON="python THIS_FILE"`.

The copy's .venv is its own, and the copy's own scripts/install.py installs the tooling into it by the pin. Every other
package is that of the environment which runs the tests, seen through a .pth file.
"""

import sys
import sysconfig
from importlib import metadata, util
from pathlib import Path
from venv import create

OUTER = Path(sysconfig.get_path("scripts"))
_SCRIPT = "#!{python}\nimport sys\nfrom {module} import {name}\nsys.exit({attr}())\n"


def command() -> str:
    """The value of PYTHON for `make`."""
    return f"{sys.executable} {__file__}"


def _finish(venv: Path) -> int:
    """Make a .venv that sees the packages outside, and has their programs."""
    create(venv, symlinks=True, clear=True)
    python = venv.absolute() / "bin/python"
    inner = next((venv / "lib").glob("python3*/site-packages"))
    (inner / "outside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    points = {point.name: point for point in metadata.entry_points(group="console_scripts")}
    for file in OUTER.iterdir():
        place = venv / "bin" / file.name
        if place.exists() or file.name.startswith(("python", "registry", "activate")):
            continue
        if point := points.get(file.name):
            name = point.attr.partition(".")[0]
            place.write_text(_SCRIPT.format(python=python, module=point.module, name=name, attr=point.attr))
            place.chmod(0o755)
        else:
            place.symlink_to(file)
    return 0


def main(script: str, *groups: str) -> int:
    """Run a copy's scripts/install.py in its folder."""
    spec = util.spec_from_file_location("install", script)
    assert spec
    assert spec.loader
    install = util.module_from_spec(spec)
    sys.modules["install"] = install
    spec.loader.exec_module(install)
    found = vars(install)
    found["parts"] = lambda *_: ()
    found["make_venv"] = lambda clear: _finish(install.VENV) if clear else 0
    return int(install.main(frozenset(groups)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
