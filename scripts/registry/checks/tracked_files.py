"""The table of the files that Git tracks: who obeys each, what a change of it means, and whether it is CI's business.

DVC, Git, GitHub, pip and Python read files that no command line names. The table is closed: a file of no row
needs an owner. Of the rows, the first that has a pattern for a path is the path's.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from registry.core.tree import Tree


class Policy(StrEnum):
    """What a change of a file means; the values are the words of docs/reference."""

    WRONG = "wrong"  # the file must not be there
    OWNER = "needs an owner"
    JUDGED = "judged"  # checks of its own decide
    FREE = "free"


class Scope(StrEnum):
    """What a change of a file can change; the values are the words of docs/reference."""

    DATA = "data"  # data, or the verdict on a pull request
    TOOLING = "tooling"  # the programs that are run in a checkout or by workflows
    BOTH = "data, tooling"
    NONE = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """Files, as globs (`*` stays within a folder, `**` is any number of folders), and who obeys them."""

    name: str
    patterns: tuple[str, ...]
    policy: Policy
    scope: Scope
    obeyed_by: str
    fix: str = ""

    def has(self, path: str, *, any_case: bool = False) -> bool:
        """Whether a pattern is the path's."""
        return any(_compile(pattern, any_case).fullmatch(path) for pattern in self.patterns)


_DELETE = "delete it"
_CONFIRM = "confirm the change"

OTHER_DVC_FILES = Row(
    "other DVC files", ("**/*.dvc", "**/dvc.yaml", "**/dvc.lock"), Policy.WRONG, Scope.DATA,
    "DVC, wherever it finds them: it runs their commands and downloads their URLs",
    "delete it, or move its content to a file that is checked, such as a dataset's raw.dvc or a model's dvc.yaml",
)  # fmt: skip
ROWS: tuple[Row, ...] = (
    # --- what makes Git or DVC read another repository ---
    Row("submodules", (".gitmodules", "**/.gitmodules"), Policy.WRONG, Scope.DATA,
        "Git: it clones what they name; DVC reads the files in it", "git rm PATH; keep data in DVC"),
    Row("DVC's configuration", (".dvc/config", ".dvc/.gitignore"), Policy.OWNER, Scope.DATA,
        "DVC: remotes, caches, credentials", _CONFIRM),
    Row("templates of plots", (".dvc/plots/*.json",), Policy.OWNER, Scope.DATA,
        "DVC, and the report, which draws them in a process that reads nothing", _CONFIRM),
    Row("other files of DVC's folder", (".dvc/**", "**/.dvc/**"), Policy.WRONG, Scope.DATA,
        "DVC: local configuration, a repository inside of this one", _DELETE),
    Row("what DVC does not read", (".dvcignore",), Policy.OWNER, Scope.DATA,
        "DVC: files that match are invisible to it", _CONFIRM),
    Row("other files with such patterns", ("**/.dvcignore",), Policy.WRONG, Scope.DATA,
        "DVC: files that match are invisible to it", "move its patterns to .dvcignore at the top, or delete it"),
    # --- DVC's files ---
    Row("pointers and pipelines",
        ("datasets/*/raw.dvc", "datasets/*/prepared.dvc", "models/*/dvc.yaml", "models/*/dvc.lock",
         "models/*/model.onnx.dvc", "models/*/model.onnx.data.dvc"), Policy.JUDGED, Scope.DATA, "DVC and the registry"),
    Row("artifacts for DVC", ("dvc.yaml",), Policy.JUDGED, Scope.DATA, "DVC; made by `registry check --fix`"),
    Row("templates of pipelines", ("scripts/registry/scaffold/templates/*/dvc.yaml",), Policy.OWNER, Scope.TOOLING,
        "`registry new`; DVC does not see them (.dvcignore)", _CONFIRM),
    OTHER_DVC_FILES,
    Row("parameters at the top", ("params.yaml",), Policy.WRONG, Scope.DATA,
        "DVC: values for every pipeline of the repository", "move it beside the pipeline that uses it: models/NAME"),
    # --- what Python runs unasked ---
    Row("hooks of Python's start",
        ("**/sitecustomize.py", "**/usercustomize.py", "**/*.pth", "**/*.egg-link", "**/pyvenv.cfg"), Policy.WRONG,
        Scope.DATA, "Python: code that runs before any program", _DELETE),
    Row("configuration of tools inside artifacts",
        tuple(f"{kind}/**/{name}" for kind in ("datasets", "models")
              for name in ("conftest.py", "pytest.ini", "tox.ini", "setup.py", "setup.cfg", "pyproject.toml",
                           ".pre-commit-config.yaml", "ruff.toml", ".ruff.toml", "mypy.ini", ".coveragerc",
                           "requirements.txt", "pip.conf", ".envrc", "Makefile", "GNUmakefile", "makefile")),
        Policy.WRONG, Scope.DATA, "pytest, pip, make and linters that are run in that folder",
        "move it to the top or to tests/, where an owner reviews it"),
    # --- what Git and GitHub obey ---
    Row("what Git converts", (".gitattributes", "**/.gitattributes"), Policy.OWNER, Scope.DATA,
        "Git: the bytes of a checkout", _CONFIRM),
    Row("data that Git ignores", ("datasets/**/.gitignore", "models/**/.gitignore"), Policy.JUDGED, Scope.DATA,
        "Git, and DVC, which skips pointers and pipelines that Git ignores"),
    Row("other hidden files in artifacts",
        tuple(f"{kind}/**/{name}" for kind in ("datasets", "models") for name in (".*", ".*/**")), Policy.WRONG,
        Scope.DATA, "editors, direnv, language tools: in the folder in which they are opened",
        "delete it, or move it to the top, where an owner reviews it"),
    Row("what Git ignores", (".gitignore",), Policy.OWNER, Scope.DATA, "Git: which data it must not track", _CONFIRM),
    Row("other lists of owners", (".github/CODEOWNERS", "docs/CODEOWNERS"), Policy.WRONG, Scope.DATA,
        "GitHub: it takes the one in .github/ before the one that is made from the manifests", _DELETE),
    Row("owners", ("CODEOWNERS",), Policy.JUDGED, Scope.DATA,
        "GitHub: who has to review; made by `registry check --fix`"),
    # --- the registry's own ---
    Row("settings", ("registry.yaml",), Policy.OWNER, Scope.BOTH,
        "the registry: owners, where the lake is, which tooling a copy installs", _CONFIRM),
    Row("schemas", ("schemas/*.schema.json",), Policy.OWNER, Scope.BOTH,
        "the registry: what a manifest, pointer or pipeline may say", _CONFIRM),
    Row("deny list", ("denied/*.yaml", "erased/*.yaml"), Policy.OWNER, Scope.DATA,
        "the registry: images that no dataset may have, and what was erased", _CONFIRM),
    Row("manifests", ("datasets/*/dataset.yaml", "models/*/model.yaml"), Policy.JUDGED, Scope.DATA, "the registry"),
    Row("other files of artifacts", ("datasets/*/**", "models/*/**"), Policy.FREE, Scope.DATA,
        "readers; `dvc repro`, which runs a model's code"),
    # --- programs ---
    Row("workflows", (".github/**", ".ci/**"), Policy.OWNER, Scope.TOOLING, "GitHub Actions and Dependabot", _CONFIRM),
    Row("hooks of commits", (".pre-commit-config.yaml", ".pre-commit-hooks.yaml"), Policy.OWNER, Scope.TOOLING,
        "pre-commit: programs that run at each commit", _CONFIRM),
    Row("packages to install", ("requirements*.txt", "pyproject.toml"), Policy.OWNER,
        Scope.TOOLING, "pip and uv: programs that are downloaded and run", _CONFIRM),
    Row("commands", ("Makefile", "pytest.ini", "ruff.toml", "scripts/**"), Policy.OWNER, Scope.TOOLING,
        "make, Git's hooks, people", _CONFIRM),
    Row("infrastructure", ("infra/**",), Policy.OWNER, Scope.TOOLING, "AWS: who may read and write storage", _CONFIRM),
    Row("tests and benchmarks", ("tests/**", "benchmarks/**"), Policy.FREE, Scope.TOOLING, "pytest, when it is run"),
    Row("documentation",
        ("docs/**", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "LICENSE.*", "NOTICE",
         "CITATION.cff"), Policy.FREE, Scope.NONE, "readers"),
)  # fmt: skip

OTHER_CASE = Row(
    "names that a file system takes for a row's", (), Policy.WRONG, Scope.DATA,
    "any of these tools, where the file system ignores case (macOS, Windows)", "rename it",
)  # fmt: skip
SUBMODULE = Row(
    "submodules", (), Policy.WRONG, Scope.DATA, "Git: it clones another repository there, which no check reads",
    "git rm --cached PATH; keep data in DVC",
)  # fmt: skip
LINK = Row(
    "symbolic links", (), Policy.WRONG, Scope.DATA, "everything that opens the file: it reads another one",
    "commit the file itself, or delete the link",
)  # fmt: skip
UNKNOWN = Row("any other file", (), Policy.OWNER, Scope.BOTH, "unknown", _CONFIRM)
OTHERS = (OTHER_CASE, SUBMODULE, LINK, UNKNOWN)


def row_of(path: str) -> Row:
    """The row that a file's path falls in, UNKNOWN where none has it.

    OTHER_CASE for a path that is another row's where the file system ignores case, composition or a dot at the end,
    and for the short names of Windows, which may be any file's: `DVC~1` is `.dvc`.
    """
    if any(_SHORT_NAME.fullmatch(name) for name in path.split("/")):
        return OTHER_CASE
    exact = next((row for row in ROWS if row.has(path)), UNKNOWN)
    folded = next((row for row in ROWS if row.has(_fold(path), any_case=True)), UNKNOWN)
    is_obeyed = folded.policy is not Policy.FREE and folded is not UNKNOWN
    return OTHER_CASE if is_obeyed and folded is not exact else exact


def is_dvc_file(path: str) -> bool:
    """Whether DVC reads a file of this name."""
    return path.endswith((".dvc", "dvc.yaml", "dvc.lock"))


@dataclass(frozen=True, slots=True)
class Touched:
    """Whether a change touches data or the verdict, and whether it touches programs."""

    data: bool
    tooling: bool


def touched(paths: Iterable[str], tree: Tree) -> Touched:
    """What a change of these paths touches; in `tree`, the one after it, links and submodules are data anywhere."""
    odd = {entry.path for entry in tree.list() if entry.is_link} | set(tree.submodules())
    scopes = {Scope.DATA if path in odd else row_of(path).scope for path in paths}
    return Touched(bool(scopes & {Scope.DATA, Scope.BOTH}), bool(scopes & {Scope.TOOLING, Scope.BOTH}))


_SHORT_NAME = re.compile(r"[^.]{1,6}~[0-9](\.[^.]{0,3})?[. ]*", re.IGNORECASE)


def _fold(path: str) -> str:
    """A path as the kindest file system compares it.

    Composed, in one case, without characters that show nothing, dots and spaces at the end of a name, and the streams
    of NTFS (`.dvc::$INDEX_ALLOCATION` is `.dvc`).
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold()).replace("\\", "/")
    visible = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    return "/".join(name.partition(":")[0].rstrip(". ") or name for name in visible.split("/"))


@cache
def _compile(pattern: str, any_case: bool) -> re.Pattern[str]:
    """The expression of a glob."""
    parts = re.split(r"(\*\*/|\*\*|\*)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".+", "*": "[^/]*"}
    text = "".join(wild.get(part) or re.escape(part) for part in parts)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if any_case else 0))
