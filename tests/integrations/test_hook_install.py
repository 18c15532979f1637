"""Installing the hooks: beside those of others, wherever Git looks for them; and a hostile branch that runs nothing."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from registry.integrations import hook_install
from support import repositories
from support.git_shell import data_is_in_line, plain_git, succeed
from support.repositories import git_in, registry

PROJECT = Path(__file__).parents[2]


def hooks(root: Path, command: str = "install") -> str:
    done = registry(root, "hooks", command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# --- installing -------------------------------------------------------------------------------------------------------


def test_it_can_be_repeated_and_undone(built_model: Path) -> None:
    folder = built_model / ".git/hooks"
    before = repositories.snapshot(folder)
    assert hooks(built_model) == f"installed in {folder}\n"
    installed = repositories.snapshot(folder)
    assert set(installed) - set(before) == set(hook_install.HOOKS)
    assert hooks(built_model) == f"installed in {folder}\n"
    assert repositories.snapshot(folder) == installed
    assert hooks(built_model, "uninstall") == "removed\n"
    assert repositories.snapshot(folder) == before
    assert not (built_model / ".git/registry").exists()


def test_hooks_that_are_there_run_first_and_come_back(hooked: Path) -> None:
    hooks(hooked, "uninstall")
    folder = hooked / ".git/hooks"
    for name in ("pre-push", "post-checkout", "pre-commit"):
        script(folder / name, f'echo "mine: {name} $*"; [ -t 0 ] || cat; exit 0')
    before = repositories.snapshot(folder)
    assert "run first: pre-commit, pre-push and post-checkout" in hooks(hooked)
    assert "run first" in hooks(hooked), "the second time, too"
    shutil.rmtree(hooked / ".registry/staging")
    told = succeed(hooked, "push", "origin", "main")
    assert "mine: pre-push origin ../origin.git" in told
    assert "refs/heads/main " in told, "they are told what Git says"
    assert (hooked / ".registry/staging").exists(), "and so are ours"
    script(folder / "pre-push.before-registry", "exit 7")
    assert plain_git(hooked, "push", "origin", "main:other").code == 1
    assert "other" not in git_in(hooked, "ls-remote", "origin")
    assert "mine: post-checkout" in succeed(hooked, "switch", "--create", "side")
    script(folder / "pre-push.before-registry", 'echo "mine: pre-push $*"; [ -t 0 ] || cat; exit 0')
    assert "put back: pre-commit, pre-push and post-checkout" in hooks(hooked, "uninstall")
    assert repositories.snapshot(folder) == before


def test_hooks_of_pre_commit_are_replaced(hooked: Path) -> None:
    """They would run what a checked-out branch configures."""
    hooks(hooked, "uninstall")
    kinds = [option for kind in ("pre-commit", "pre-push", "post-checkout") for option in ("--hook-type", kind)]
    pre_commit = str(Path(sys.executable).with_name("pre-commit"))
    assert repositories.sh(hooked, pre_commit, "install", *kinds).returncode == 0
    assert "run first" not in hooks(hooked)
    assert "registry hooks install" in (hooked / ".git/hooks/post-checkout").read_text()


def test_pre_commit_may_be_installed_afterwards(hooked: Path) -> None:
    pre_commit = str(Path(sys.executable).with_name("pre-commit"))
    kinds = ("--hook-type", "pre-commit", "--hook-type", "pre-push")
    assert repositories.sh(hooked, pre_commit, "install", *kinds).returncode == 0
    (hooked / "notes.md").write_text("notes\n")
    git_in(hooked, "add", "notes.md")
    told = succeed(hooked, "commit", "--message", "notes")
    assert told.count("registry check") == 1, "once"
    shutil.rmtree(hooked / ".registry/staging")
    succeed(hooked, "push", "origin", "main")
    assert (hooked / ".registry/staging").exists()


@pytest.mark.parametrize("scope", ["--local", "--global"])
def test_a_hooks_folder_elsewhere(hooked: Path, scope: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(Path(os.environ["HOME"], ".gitconfig"), home)
    monkeypatch.setenv("HOME", str(home))
    hooks(hooked, "uninstall")
    shared = tmp_path / "hooks of mine"
    shared.mkdir()
    git_in(hooked, "config", scope, "core.hooksPath", str(shared))
    done = registry(hooked, "hooks", "install")
    if scope == "--local":
        assert done.stdout == f"installed in {shared}\n"
    else:
        assert (done.returncode, list(shared.iterdir())) == (1, [])
        assert "for every repository (core.hooksPath, global)" in done.stderr
        command = done.stderr.split("hint: ")[1].split(": here,")[0]
        assert repositories.sh(hooked, "sh", "-c", command).returncode == 0
        hooks(hooked)
    repositories.dataset(hooked, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(hooked, "more")
    succeed(hooked, "reset", "--hard", "HEAD~1")
    data_is_in_line(hooked)


@pytest.mark.parametrize("where", [".githooks", "/dev/null"])
def test_a_hooks_folder_that_branches_bring_is_refused(hooked: Path, where: str) -> None:
    (hooked / ".githooks").mkdir()
    git_in(hooked, "config", "core.hooksPath", where)
    done = registry(hooked, "hooks", "install")
    assert done.returncode == 1
    assert "hint: git config --unset core.hooksPath" in done.stderr
    assert list((hooked / ".githooks").iterdir()) == []


def test_from_a_subfolder_with_spaces_in_the_path_in_a_submodule_and_after_a_move(hooked: Path, tmp_path: Path) -> None:
    git_in(tmp_path, "init", "--quiet", "a monorepo")
    top = tmp_path / "a monorepo"
    git_in(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(hooked), "the data")
    data = top / "the data"
    assert "modules/the data/hooks" in hooks(data / "datasets/pets")
    git_in(data, "switch", "--quiet", "--create", "side")
    (data / ".dvc/cache").symlink_to(hooked / ".dvc/cache")
    assert registry(data, "checkout").returncode == 0
    repositories.dataset(data, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(data, "more")
    succeed(data / "datasets", "reset", "--hard", "HEAD~1")
    data_is_in_line(data)
    hooked.rename(tmp_path / "moved here")
    succeed(tmp_path / "moved here", "switch", "--create", "side")


# --- hooks that do not run --------------------------------------------------------------------------------------------

NOT_RUN = "warning: Git does not run the hooks"


@pytest.mark.parametrize("how", ["chmod", "delete", "another folder"])
def test_hooks_that_git_does_not_run_are_named(hooked: Path, how: str) -> None:
    assert registry(hooked, "check").stderr == ""
    folder = hooked / ".git/hooks"
    for name in ("pre-push", "post-checkout"):
        if how == "chmod":
            (folder / name).chmod(0o644)
        elif how == "delete":
            (folder / name).unlink()
    if how == "another folder":
        git_in(hooked, "config", "core.hooksPath", os.devnull)
    done = registry(hooked, "check")
    names = "pre-push and post-checkout" if how != "another folder" else "pre-commit, pre-push, "
    assert f"{NOT_RUN} {names}" in done.stderr
    assert "\n  hint: registry hooks install\n" in done.stderr
    assert (done.returncode, "hooks" in done.stdout) == (0, False), "it is no fault of the change"
    if how == "another folder":
        assert "hint: git config --unset core.hooksPath" in registry(hooked, "hooks", "install").stderr
        git_in(hooked, "config", "--unset", "core.hooksPath")
    hooks(hooked)
    assert registry(hooked, "check").stderr == ""
    hooks(hooked, "uninstall")
    assert registry(hooked, "check").stderr == "", "they are not wanted"


def test_hooks_of_a_copy_without_permissions_run_all_the_same(hooked: Path) -> None:
    """An archive, or a file system of Windows, keeps none: Git checks its own hooks only."""
    for file in (hooked / ".git/registry").rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    shutil.rmtree(hooked / ".registry/staging")
    succeed(hooked, "push", "origin", "main")
    assert (hooked / ".registry/staging").exists()


def test_hooks_whose_tooling_is_gone_say_so(hooked: Path) -> None:
    shutil.rmtree(hooked / ".git/registry")
    said = "registry: the Git hooks are incomplete"
    told = succeed(hooked, "switch", "--create", "side")
    assert said in told
    assert "\n  hint: make setup\n" in told
    for command in (("push", "origin", "main"), ("commit", "--allow-empty", "--message", "x")):
        done = plain_git(hooked, *command)
        assert (done.code, said in done.err) == (1, True)
    hooks(hooked)
    succeed(hooked, "push", "origin", "main")


# --- without an environment -------------------------------------------------------------------------------------------


def test_where_the_environment_is_gone_pushes_stop_and_checkouts_say_so(built_model: Path, tmp_path: Path) -> None:
    hooks(built_model)
    repositories.add_origin(built_model)
    home = built_model / ".git/registry/hook"
    home.write_text(home.read_text().replace(sys.executable, str(tmp_path / "gone/bin/python")))
    done = plain_git(built_model, "push", "origin", "main")
    assert done.code == 1
    assert "the tooling is not installed" in done.err
    assert "hint: make setup" in done.err
    repositories.dataset(built_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(built_model, "more")
    assert "hint: make setup" in succeed(built_model, "reset", "--hard", "HEAD~1")


# --- an untrusted branch ----------------------------------------------------------------------------------------------

PWNED = "PWNED"
PYTHON = f"import pathlib; pathlib.Path({PWNED!r}).touch()\n"
SHELL = f"touch {PWNED}"


def _configuration(root: Path) -> None:
    stages = "[pre-push, post-checkout, post-merge, post-rewrite, post-commit]"
    hook = f"id: x, name: x, entry: touch {PWNED}, language: system, stages: {stages}, always_run: true"
    text = f"repos: [{{repo: local, hooks: [{{{hook}, pass_filenames: false}}]}}]"
    (root / ".pre-commit-config.yaml").write_text(text)


def _tooling(root: Path) -> None:
    script(root / "scripts/hook", SHELL)
    for name in ("registry/__init__.py", "registry/__main__.py", "registry/cli/main.py"):
        (root / "scripts" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "scripts" / name).write_text(PYTHON)


def _shadows(root: Path) -> None:
    """What Python would import from the current folder."""
    for name in ("registry", "click", "dvc", "polars", "yaml"):
        (root / name).mkdir()
        (root / name / "__init__.py").write_text(PYTHON)
    for name in ("sitecustomize.py", "usercustomize.py", "runpy.py", "pathlib.py", "registry.pth"):
        (root / name).write_text(PYTHON)


def _programs(root: Path) -> None:
    for name in ("git", "sh", "tr", "cmp", "find", "python", "python3", "dvc", "xargs", "git-registry"):
        script(root / name, SHELL)


def _hooks_folders(root: Path) -> None:
    for folder in (".githooks", "hooks", ".husky", "githooks"):
        for name in hook_install.HOOKS:
            script(root / folder / name, SHELL)


def _dvc(root: Path) -> None:
    """A configuration whose databases, which hold pickles, lie in the branch; a stage; a plug-in."""
    script(root / ".dvc/plugins/x.py", SHELL)
    config = root / ".dvc/config"
    places = f"    site_cache_dir = {root / 'evil'}\n"
    config.write_text(config.read_text().replace("[core]\n", f"[core]\n{places}"))
    (root / "dvc.yaml").write_text(f"stages: {{x: {{cmd: touch {PWNED}, always_changed: true}}}}\n")
    (root / "evil").mkdir()
    (root / "evil/here").write_text("x")


def _attributes(root: Path) -> None:
    (root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (root / ".gitconfig").write_text(f'[filter "evil"]\n smudge = touch {PWNED}\n[core]\n fsmonitor = touch {PWNED}\n')


def _environment(root: Path) -> None:
    """An environment that Git would write over the ignored one."""
    (root / ".venv").unlink(missing_ok=True)
    script(root / ".venv/bin/python", SHELL)
    script(root / ".venv/bin/registry", SHELL)
    (root / ".venv/lib/python3/site-packages").mkdir(parents=True)
    (root / ".venv/lib/python3/site-packages/evil.pth").write_text(PYTHON)


# Together, where the hooks do their work in spite of them, which is asserted; so none hides another.
ATTACKS = {
    "files": (_configuration, _tooling, _programs, _hooks_folders, _attributes),
    "shadows": (_shadows,),
    "dvc": (_dvc,),
    "environment": (_environment,),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_checking_out_an_untrusted_branch_runs_nothing_of_it(hooked: Path, name: str) -> None:
    off = ("-c", f"core.hooksPath={os.devnull}")
    git_in(hooked, *off, "switch", "--quiet", "--create", "evil")
    repositories.dataset(hooked, "pets", repositories.MORE_PETS, "1.1.0")  # so that there is work for the hooks
    environment = (hooked / ".venv").readlink()
    for attack in ATTACKS[name]:
        attack(hooked)
    git_in(
        hooked,
        *off,
        "add",
        "--all",
        "--force",
        "--",
        ":!.registry",
        ":!.dvc/cache",
        ":!.dvc/tmp",
        *([] if name == "environment" else [":!.venv"]),
        ":!datasets/*/raw",
        ":!datasets/*/prepared",
        ":!models/*/model.onnx",
        ":!models/*/predictions.parquet",
    )
    git_in(hooked, *off, "commit", "--quiet", "--no-verify", "--message", "evil")
    git_in(hooked, *off, "switch", "--quiet", "--force", "main")
    shutil.rmtree(hooked / ".venv", ignore_errors=True) if not (hooked / ".venv").is_symlink() else None
    if not (hooked / ".venv").exists():
        (hooked / ".venv").symlink_to(environment)
    assert registry(hooked, "checkout").returncode == 0
    evil = {"PYTHONPATH": ".", "PYTHONSTARTUP": "sitecustomize.py"}
    for command in (
        "switch evil",
        "switch main",
        "merge --quiet evil",
        "reset --hard HEAD~1",
        "rebase evil",
        "push origin HEAD:refs/heads/x",
    ):
        plain_git(hooked, *command.split(), **evil)
        assert list(hooked.rglob(PWNED)) == [], command
        if name in {"files", "shadows"}:
            data_is_in_line(hooked)
        assert not (hooked / "evil/index").exists()
        assert {path.name for path in (hooked / "evil").rglob("*")} <= {"here"}, "no database was opened there"


@pytest.mark.slow
def test_an_environment_that_a_branch_brought_is_not_trusted_afterwards(hooked: Path) -> None:
    off = ("-c", f"core.hooksPath={os.devnull}")
    git_in(hooked, *off, "switch", "--quiet", "--create", "evil")
    environment = (hooked / ".venv").readlink()
    _environment(hooked)
    git_in(hooked, "add", "--force", ".venv")
    git_in(hooked, *off, "commit", "--quiet", "--no-verify", "--message", "evil")
    git_in(hooked, *off, "switch", "--quiet", "main")
    shutil.rmtree(hooked / ".venv", ignore_errors=True)
    (hooked / ".venv").symlink_to(environment)
    repositories.dataset(hooked, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(hooked, "more")
    git_in(hooked, *off, "cherry-pick", "evil")
    told = succeed(hooked, "reset", "--soft", "HEAD") + succeed(hooked, "checkout", "HEAD~2", "--", "datasets")
    assert "this commit has a file in a folder of the tools, .venv/bin/python: nothing was run" in told
    git_in(hooked, *off, "reset", "--quiet", "--hard", "main~1")
    assert "nothing was run" in told
    told = succeed(hooked, "reset", "--hard", "main")
    assert plain_git(hooked, "push", "origin", "main").code == 1
    shutil.rmtree(hooked / ".venv", ignore_errors=True)
    (hooked / ".venv").symlink_to(environment)
    hooks(hooked)
    assert plain_git(hooked, "push", "origin", "main").code == 0
