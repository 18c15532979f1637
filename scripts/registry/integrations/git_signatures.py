"""Signatures of tags: whether Git finds one good, by its own configuration or by a file of allowed signers."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from registry.errors import NotFound, ToolFailed
from registry.integrations import git, process

# What Git and GnuPG say where they lack what they would need to judge (Git 2.39, GnuPG 2.2).
_NOT_KNOWN = ("allowedSignersFile needs to be configured", "No public key", "cannot run")
_NO_PRINCIPAL = "No principal matched."
_IN_ENGLISH = {"LC_ALL": "C", "LANGUAGE": "C"}


class Signed(StrEnum):
    """What is known of a tag's signature."""

    NOT = "not signed"
    GOOD = "good"
    NOT_KNOWN = "not known"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class TagObject:
    """An annotated tag: the commit that it leads to, its own name, which a ref may differ from, and its message."""

    commit: str
    name: str
    message: str
    signature: str


def read_tag(root: Path, name: str) -> TagObject | None:
    """The annotated tag at `refs/tags/NAME`; None for a lightweight one. Raises NotFound where there is none."""
    form = "%(objecttype)%00%(*objectname)%00%(tag)%00%(contents:signature)%00%(contents)"
    found = git.output(root, "for-each-ref", f"--format={form}", f"refs/tags/{name}").split("\0", 4)
    if len(found) < len(form.split("%00")):
        raise NotFound(f"{root} has no tag {name}", fix="check the tag, and fetch the tags of the registry")
    kind, commit, own_name, signature, contents = found
    return TagObject(commit, own_name, contents.replace(signature, ""), signature) if kind == "tag" else None


def read_object(root: Path, object_id: str) -> str:
    """An annotated tag as it is stored: its header, its message, its signature."""
    return git.output(root, "cat-file", "tag", object_id)


def verify(root: Path, name: str, tag: TagObject, allowed_signers: Path | None = None) -> tuple[Signed, str]:
    """Whether the signature of a tag is good, and what Git says where it is not."""
    if not tag.signature:
        return Signed.NOT, ""
    signers = ["-c", f"gpg.ssh.allowedSignersFile={allowed_signers.absolute()}"] if allowed_signers else []
    try:
        process.run(["git", "-C", str(root), *signers, "verify-tag", f"refs/tags/{name}"], env=_IN_ENGLISH, quiet=True)
    except ToolFailed as error:
        if _NO_PRINCIPAL in error.stderr:
            return Signed.BAD, "its key is not among the allowed signers"
        said = "; ".join(text.removeprefix("error: ") for line in error.stderr.splitlines() if (text := line.strip()))
        return (Signed.NOT_KNOWN if any(word in error.stderr for word in _NOT_KNOWN) else Signed.BAD), said
    return Signed.GOOD, ""
