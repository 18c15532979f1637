"""Against the real Git: trees that agree with each other, and queries with hostile file names."""

import os
import subprocess
from pathlib import Path

import pytest

from registry.core.tree import DictTree, Entry, Tree
from registry.errors import NotFound, Refused, ToolFailed
from registry.integrations import git, git_trees

NAMES = [
    "a",
    "b c",
    "ä.txt",
    "new\nline",
    "tab\there",
    'quo"te',
    "back\\slash",
    "-dash",
    "deep/er/file",
    "deep/z",
    "deepest",
    "\u202egnp",
]


def run(root: Path, *args: str) -> str:
    return subprocess.run(["git", "-C", str(root), *args], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """An empty repository."""
    root = tmp_path / "repo"
    run(tmp_path, "init", "--quiet", str(root))
    return root


def put(root: Path, **files: str) -> None:
    put_all(root, files)


def put_all(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def commit(root: Path, message: str = "x") -> str:
    run(root, "add", "--all")
    run(root, "commit", "--quiet", "--allow-empty", "--message", message)
    return run(root, "rev-parse", "HEAD")


# --- trees ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["revision", "index", "worktree", "dict"])
def tree(request: pytest.FixtureRequest, repo: Path) -> Tree:
    """The same files in each kind of tree: hostile names, and a link out of the repository."""
    put_all(repo, {name: f"text of {name!r}\n" for name in NAMES})
    (repo / "deep/link").symlink_to("/etc/passwd")
    (repo / "folder-link").symlink_to("deep")
    (repo / ".gitignore").write_text("/data\n")
    put_all(repo, {"data/ignored": "x"})
    if request.param == "dict":
        texts = {name: f"text of {name!r}\n".encode() for name in NAMES}
        links = {"deep/link": b"/etc/passwd", "folder-link": b"deep"}
        return DictTree({**texts, **links, ".gitignore": b"/data\n"}, frozenset(links))
    commit(repo)
    return {
        "revision": lambda: git_trees.Revision(repo, "HEAD"),
        "index": lambda: git_trees.Index(repo),
        "worktree": lambda: git_trees.WorkTree(repo),
    }[request.param]()


def test_every_kind_of_tree_lists_and_reads_the_same(tree: Tree) -> None:
    listed = tree.list()
    assert [entry.path for entry in listed] == sorted([*NAMES, ".gitignore", "deep/link", "folder-link"])
    assert {entry.path for entry in listed if entry.is_link} == {"deep/link", "folder-link"}
    for entry in listed:
        assert len(tree.read(entry.path)) == entry.size
    assert tree.read("new\nline") == b"text of 'new\\nline'\n"


def test_a_link_reads_as_its_target_s_name_and_is_never_followed(tree: Tree) -> None:
    assert tree.read("deep/link") == b"/etc/passwd"
    assert tree.list("folder-link") == (Entry("folder-link", 4, is_link=True),)
    with pytest.raises(NotFound):
        tree.read("folder-link/z")
    assert not tree.has("folder-link/z")


def test_a_folder_s_files_are_those_below_it(tree: Tree) -> None:
    assert [entry.path for entry in tree.list("deep")] == ["deep/er/file", "deep/link", "deep/z"]
    assert tree.list("dee") == ()
    assert tree.list("nothing") == ()


@pytest.mark.parametrize(
    "path", ["nothing", "deep", "", "../x", "/etc/passwd", "deep/../b c", "data/ignored/x", "a\n", "HEAD"]
)
def test_what_is_no_file_is_not_found(tree: Tree, path: str) -> None:
    assert not tree.has(path)
    with pytest.raises(NotFound):
        tree.read(path)


def test_a_name_that_is_not_utf_8_is_listed_and_read(repo: Path) -> None:
    Path(os.fsdecode(os.fsencode(str(repo)) + b"/bad\xff")).write_text("x")
    commit(repo)
    for tree in (git_trees.Revision(repo, "HEAD"), git_trees.Index(repo), git_trees.WorkTree(repo)):
        assert [entry.path for entry in tree.list()] == ["bad\udcff"]
        assert tree.read("bad\udcff") == b"x"


def test_the_index_has_what_is_staged_not_what_lies_there(repo: Path) -> None:
    put(repo, a="one", b="one")
    commit(repo)
    put(repo, a="staged", c="staged")
    run(repo, "add", "a", "c")
    run(repo, "rm", "--quiet", "b")
    put(repo, a="later", d="untracked")
    index = git_trees.Index(repo)
    assert {entry.path: index.read(entry.path) for entry in index.list()} == {"a": b"staged", "c": b"staged"}
    assert git.staged_paths(repo) == ("a", "b", "c")


def test_the_working_tree_leaves_out_what_was_deleted_and_what_git_ignores(repo: Path) -> None:
    put(repo, a="one", b="one", **{".gitignore": "*.log\n"})
    commit(repo)
    (repo / "a").unlink()
    put(repo, new="x", **{"x.log": "x"})
    assert [entry.path for entry in git_trees.WorkTree(repo).list()] == [".gitignore", "b", "new"]


def test_a_folder_that_became_a_link_has_no_files(repo: Path, tmp_path: Path) -> None:
    put_all(repo, {"datasets/pets/dataset.yaml": "ours"})
    commit(repo)
    put_all(tmp_path / "elsewhere", {"dataset.yaml": "theirs"})
    (repo / "datasets/pets").rename(tmp_path / "gone")
    (repo / "datasets/pets").symlink_to(tmp_path / "elsewhere")
    tree = git_trees.WorkTree(repo)
    assert [entry.path for entry in tree.list()] == ["datasets/pets"]
    assert not tree.has("datasets/pets/dataset.yaml")
    assert not tree.has("datasets/../datasets/pets")
    assert not tree.has("../elsewhere/dataset.yaml")


def test_a_conflict_is_refused_by_its_name(repo: Path) -> None:
    put(repo, a="one")
    commit(repo)
    run(repo, "switch", "--quiet", "--create", "other")
    put(repo, a="two")
    commit(repo)
    run(repo, "switch", "--quiet", "-")
    put(repo, a="three")
    commit(repo)
    subprocess.run(["git", "-C", str(repo), "merge", "--quiet", "other"], capture_output=True)
    with pytest.raises(Refused, match="a has unresolved conflicts"):
        git_trees.Index(repo).list()


def test_a_repository_without_a_commit(repo: Path) -> None:
    assert git_trees.Index(repo).list() == ()
    assert git_trees.WorkTree(repo).list() == ()
    put(repo, a="x")
    run(repo, "add", "a")
    assert git.staged_paths(repo) == ("a",)
    assert git_trees.Index(repo).read("a") == b"x"
    assert git_trees.Revision(repo, git.EMPTY_TREE).list() == ()


def test_a_submodule_is_no_file_and_gitmodules_cannot_hide_its_change(repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run(tmp_path, "init", "--quiet", str(other))
    commit(other)
    base = commit(repo)
    run(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    run(repo, "config", "--file", ".gitmodules", "submodule.sub.ignore", "all")
    run(repo, "add", ".gitmodules")
    assert "sub" in git.staged_paths(repo)
    commit(repo)
    with git_trees.Commits(repo) as commits:
        snapshot = commits.tree(git.resolve_commit(repo, "HEAD"))
        for tree in (git_trees.Revision(repo, "HEAD"), git_trees.Index(repo), git_trees.WorkTree(repo), snapshot):
            assert (tree.list("sub"), tree.has("sub"), tree.submodules()) == ((), False, ("sub",)), tree
            with pytest.raises(NotFound):
                tree.read("sub")
    assert git.changed_paths(repo, base, "HEAD") == git.changed_paths(repo, base)
    assert "sub" in git.changed_paths(repo, base)


# --- queries ----------------------------------------------------------------------------------------------------------


def test_the_root_is_found_from_below_and_missed_outside(repo: Path, tmp_path: Path) -> None:
    put_all(repo, {"a/b/c": "x"})
    assert git.find_root(repo / "a/b") == repo
    with pytest.raises(NotFound, match="is not in a Git repository"):
        git.find_root(tmp_path)


def test_a_revision_that_does_not_exist_or_looks_like_an_option(repo: Path) -> None:
    first = commit(repo)
    assert git.resolve_commit(repo, "HEAD") == first
    for name in ("nope", "--all", "-h", "", "HEAD~1", "HEAD:a", "HEAD\nx"):
        with pytest.raises(NotFound, match="is not a revision"):
            git.resolve_commit(repo, name)


def test_only_annotated_tags_count_and_each_leads_to_its_commit(repo: Path) -> None:
    first = commit(repo)
    run(repo, "tag", "light")
    run(repo, "tag", "--annotate", "--message", "x", "datasets/pets@v1.0.0")
    commit(repo)
    assert git.tag_names(repo) == ("datasets/pets@v1.0.0",)
    assert git.resolve_commit(repo, "datasets/pets@v1.0.0") == first


def test_what_changed_since_a_revision(repo: Path) -> None:
    put(repo, kept="x", changed="x", deleted="x", moved="long enough to be found again")
    first = commit(repo)
    put(repo, changed="y", **{"new\nline": "x"})
    (repo / "deleted").unlink()
    (repo / "moved").rename(repo / "there")
    assert git.changed_paths(repo, first) == ("changed", "deleted", "moved", "new\nline", "there")
    second = commit(repo)
    assert git.changed_paths(repo, first, second) == ("changed", "deleted", "moved", "new\nline", "there")
    assert git.changed_paths(repo, second) == ()


def test_histories_without_a_common_start(repo: Path) -> None:
    first = commit(repo)
    run(repo, "checkout", "--quiet", "--orphan", "other")
    second = commit(repo, "another start")
    with pytest.raises(NotFound, match="have no common history"):
        git.merge_base(repo, first, second)
    assert git.merge_base(repo, first, first) == first


def test_the_branch_and_none_when_detached(repo: Path) -> None:
    first = commit(repo)
    run(repo, "switch", "--quiet", "--create", "work")
    assert git.current_branch(repo) == "work"
    run(repo, "switch", "--quiet", "--detach", first)
    assert git.current_branch(repo) == ""


# --- history ----------------------------------------------------------------------------------------------------------


def test_files_of_a_tag_are_read_by_name(repo: Path) -> None:
    put_all(repo, {"datasets/pets/dataset.yaml": "one", "a b": "space"})
    commit(repo)
    run(repo, "tag", "--annotate", "--message", "x", "datasets/pets@v1.0.0")
    run(repo, "branch", "datasets/pets@v1.0.0-rc")
    put_all(repo, {"datasets/pets/dataset.yaml": "two"})
    commit(repo)
    with git_trees.History(repo) as history:
        assert history.tags == ("datasets/pets@v1.0.0",)
        assert history.is_complete
        assert history.read("refs/tags/datasets/pets@v1.0.0", "datasets/pets/dataset.yaml") == b"one"
        assert history.read("HEAD", "datasets/pets/dataset.yaml") == b"two"
        assert history.read("HEAD", "a b") == b"space"
        for revision, path in (
            ("HEAD", "missing"),
            ("HEAD", "missing too"),
            ("HEAD", "datasets"),
            ("HEAD", ""),
            ("refs/tags/none", "a b"),
        ):
            assert history.read(revision, path) is None
        assert history.read("HEAD", "a b") == b"space"


def test_a_shallow_clone_knows_that_it_is_one(repo: Path, tmp_path: Path) -> None:
    commit(repo)
    commit(repo)
    run(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repo}", "shallow")
    with git_trees.History(tmp_path / "shallow") as history:
        assert not history.is_complete
    with pytest.raises(NotFound) as caught:
        git.resolve_commit(tmp_path / "shallow", "HEAD~1")
    assert "git fetch --unshallow" in caught.value.fix


def test_a_tag_is_never_moved(repo: Path) -> None:
    first = commit(repo)
    git.create_tag(repo, "datasets/pets@v1.0.0", first, "one")
    with pytest.raises(ToolFailed, match="already exists"):
        git.create_tag(repo, "datasets/pets@v1.0.0", commit(repo), "two")
    assert git.resolve_commit(repo, "datasets/pets@v1.0.0") == first
