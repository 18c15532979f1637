"""A folder of class folders with everything in it that lies among photographs."""

import os
from pathlib import Path

from support.odd_images import ODD, SOUND, photo

COMPANIONS = {
    ".DS_Store": b"\0\0\0\1Bud1",
    "._0.jpg": ODD["apple double"].data,
    ".hidden.jpg": photo(seed=77),
    "Thumbs.db": ODD["thumbs.db"].data,
    "notes.txt": b"seen by Ana\n",
    "0.xmp": b"<x:xmpmeta/>",
    "labels.csv": b"file,label\n",
    "__MACOSX/0.jpg": ODD["apple double"].data,
    ".thumbnails/0.jpg": photo(size=(16, 16), seed=78),
}
# Names that a file system allows, each of a sound photograph.
NAMES = ("größer.jpg", "with space.jpg", "two\nlines.jpg", "quote'\".jpg", "a" * 240 + ".jpg", "UPPER.JPG", "mixed.Jpg",
         "<b>.jpg", "no ending", "sub/folder/0.jpg", "-rf.jpg")  # fmt: skip
PATHS = ("folder.jpg", "pipe.jpg", "broken link.jpg", "loop.jpg", "link to a folder")


def make(top: Path, each: int = 30) -> None:
    """Two classes with `each` sound photographs of three formats; the first class has every odd file besides."""
    for number, label in enumerate(("cat", "dog")):
        (top / label).mkdir(parents=True)
        for index in range(each):
            kind, ending = (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))[index % 3]
            (top / label / f"{index}.{ending}").write_bytes(photo(kind, seed=1000 * (number + 1) + index))
    cats = top / "cat"
    for name, file in {**ODD, **SOUND}.items():
        (cats / f"{name.replace('.', ' ')}.{file.ending}").write_bytes(file.data)
    for name, data in COMPANIONS.items():
        (cats / name).parent.mkdir(exist_ok=True)
        (cats / name).write_bytes(data)
    for number, name in enumerate(NAMES):
        (cats / name).parent.mkdir(parents=True, exist_ok=True)
        (cats / name).write_bytes(photo(seed=5000 + number))
    (cats / os.fsdecode(b"latin-\xe9.jpg")).write_bytes(photo(seed=6000))
    (cats / "bitmap.bmp").write_bytes(photo("BMP", seed=6001))
    _make_paths(top)


def _make_paths(top: Path) -> None:
    """What can be found under a name, and is no file."""
    cats = top / "cat"
    (cats / "folder.jpg").mkdir()
    os.mkfifo(cats / "pipe.jpg")
    (cats / "broken link.jpg").symlink_to("nowhere.jpg")
    (cats / "loop.jpg").symlink_to("loop.jpg")
    (cats / "link to a folder").symlink_to(top / "dog", target_is_directory=True)
