"""Finds many keys in a bucket with few requests: by listing, or one by one, whichever is cheaper.

A listing costs one request for 1,000 objects, but lists everything below its prefix, wanted or not.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from posixpath import commonpath
from typing import TYPE_CHECKING

from registry.storage.base import StoredObject, concat, to_frame

if TYPE_CHECKING:
    from polars import DataFrame

PAGE = 1000  # objects in a page of a listing
ONE_BY_ONE = 1000  # keys up to which each is requested alone
FEW_IN_FOLDER = 2  # keys of one folder up to which each is requested alone, however many keys there are in all
PAGE_COST = 20  # requests for a key that cost what a page of a listing costs (measured: 1 ms and 20 ms)
PAGES_PER_RANGE = 3  # pages that one thread lists

_NUMBER = re.compile("[0-9a-f]+")

Folders = Mapping[str, set[str]]  # the wanted keys of each folder
Pages = Callable[[str, str], Iterator[list[StoredObject]]]  # the listing below a folder, in order, after a key


@dataclass(frozen=True, slots=True)
class KeyLookup:
    """How to ask a bucket: for one key, for the pages of a listing, and with how many threads."""

    find: Callable[[str], StoredObject | None]
    pages: Pages
    concurrency: int

    def find_many(self, keys: Sequence[str], *, can_list: bool) -> "DataFrame":
        """Those of `keys` that exist (`Store.find_many`)."""
        frames, left = [], list(dict.fromkeys(keys))
        with ThreadPoolExecutor(self.concurrency) as pool:
            if can_list and len(left) > ONE_BY_ONE:
                folders, left = _group_by_folder(left), []
                if len(folders) > 1 and (ranges := self._list_ranges(folders)) is not None:
                    return ranges.unique("key", keep="first", maintain_order=True)
                for found, uncertain in pool.map(self._list_folder, folders, folders.values()):
                    frames.append(found)
                    left += uncertain
            frames.append(to_frame(one for one in pool.map(self.find, left) if one))
            return concat(frames)

    def _list_ranges(self, folders: Folders) -> "DataFrame | None":
        """The wanted objects, by listing across folders; None where requests for keys or folders are cheaper.

        The first page tells how many pages there are: what 256 folders hold is often a few pages.
        """
        top, names = commonpath(folders), sorted(folders)
        start = _before(names[0])
        first = next(self.pages(top, start), [])
        if len(first) < PAGE:
            return to_frame(_select(first, folders))
        in_page = sum(f"{name}0" <= first[-1].key for name in names)  # 0 is the character after /
        pages = len(names) / max(in_page, 0.5)
        if pages * PAGE_COST > sum(map(len, folders.values())):
            return None
        step = max(1, round(in_page * PAGES_PER_RANGE))
        bounds = [start, *(f"{name}0" for name in names[step - 1 : -1 : step]), f"{names[-1]}0"]
        with ThreadPoolExecutor(self.concurrency) as pool:
            ranges = list(pool.map(partial(self._list_range, top, folders), bounds[:-1], bounds[1:]))
        found = [one for one in ranges if one is not None]
        return concat(map(to_frame, found)) if len(found) == len(ranges) else None

    def _list_range(self, top: str, folders: Folders, after: str, end: str) -> list[StoredObject] | None:
        """The wanted objects between two keys; None where a listing has no order, as in S3 Express.

        Neither key is the start of a folder's name: SeaweedFS 4.48 leaves out the folder that a listing starts at.
        """
        found, last = list[StoredObject](), after
        for page in self.pages(top, after):
            keys = [last, *(one.key for one in page)]
            if keys != sorted(keys):
                return None
            found += _select(page, folders)
            if (last := keys[-1]) > end:
                break
        return found

    def _list_folder(self, folder: str, keys: set[str]) -> "tuple[DataFrame, list[str]]":
        """Those of a folder's keys that its listing has, and those that further pages may have, if those cost more.

        So the search costs at most twice what the cheaper way does, however much the folder holds.
        """
        if len(keys) <= FEW_IN_FOLDER:
            return to_frame([]), list(keys)
        frames, left = [to_frame([])], set(keys)
        for number, page in enumerate(self.pages(folder, ""), 1):
            frames.append(to_frame(one for one in page if one.key in left))
            left.difference_update(frames[-1]["key"])
            if not left or (number * self.concurrency >= len(keys) and len(page) == PAGE):
                return concat(frames), list(left)
        return concat(frames), []


def _before(folder: str) -> str:
    """A key behind those of the folder before this one, where folders are numbers, as those of objects are; or none.

    So the listing of 10 of 256 folders does not begin with the others.
    """
    top, _, name = folder.rpartition("/")
    number = int(name, 16) if _NUMBER.fullmatch(name) else 0
    return f"{top}/{number - 1:0{len(name)}x}0" if number else ""


def _group_by_folder(keys: Sequence[str]) -> Folders:
    folders: dict[str, set[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0], set()).add(key)
    return folders


def _select(page: Sequence[StoredObject], folders: Folders) -> list[StoredObject]:
    return [one for one in page if one.key in folders.get(one.key.rpartition("/")[0], ())]
