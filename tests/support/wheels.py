"""Wheels that hold nothing but what they say of themselves, for an index that is a folder."""

import zipfile
from pathlib import Path


def write_wheel(folder: str | Path, name: str, version: str, *about: str, program: str = "", module: str = "") -> str:
    """The name of the file in `folder`; `about` are further lines of its METADATA, `program` the text of a script.

    `module` is the text of the module `name`.
    """
    file, info = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(Path(folder) / file, "w") as archive:
        if program:
            script = zipfile.ZipInfo(f"{name}-{version}.data/scripts/{name}")
            script.external_attr = 0o100755 << 16
            archive.writestr(script, program)
        if module:
            archive.writestr(f"{name}.py", module)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *about]
        archive.writestr(f"{info}/METADATA", "".join(f"{line}\n" for line in lines))
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "".join(f"{info}/{one},,\n" for one in ("METADATA", "WHEEL", "RECORD")))
    return file
