"""DVC's configuration is read as DVC reads it: its four files, its spellings, its refusals."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from configobj import ConfigObjError
from dvc.config import Config, ConfigError
from voluptuous import Invalid

from registry.core.settings import Remote
from registry.errors import InvalidDocument
from registry.storage import dvc_config
from support.repositories import Run, git_in

BOTH = "['remote \"staging\"']\nurl = s3://acme/staging\n['remote \"production\"']\nurl = s3://acme/production\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository, with system and global configuration of its own."""
    for level in ("SYSTEM", "GLOBAL"):
        (tmp_path / level).mkdir()
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level))
    (tmp_path / "top/.dvc").mkdir(parents=True)
    git_in(tmp_path / "top", "init", "--quiet")
    (tmp_path / "top/.dvc/config").write_text(BOTH)
    return tmp_path / "top"


def test_four_files_are_merged_in_their_order(root: Path) -> None:
    (root.parent / "SYSTEM/config").write_text(
        "['remote \"staging\"']\nregion = a\nendpointurl = a\nacl = a\njobs = 2\n"
    )
    (root.parent / "GLOBAL/config").write_text("['remote \"staging\"']\nregion = b\nendpointurl = b\nacl = b\n")
    (root / ".dvc/config").write_text(BOTH.replace("staging\n[", "staging\nregion = c\nendpointurl = c\n["))
    (root / ".dvc/config.local").write_text("['remote \"staging\"']\nregion = d\n")
    expected = {"region": "d", "endpointurl": "c", "acl": "b", "jobs": "2"}
    assert dvc_config.load(root)["staging"] == Remote("s3://acme/staging", expected)
    assert {**Config(root / ".dvc")["remote"]["staging"]}.items() >= {**expected, "jobs": 2}.items()


def test_a_remote_of_the_global_file_alone_and_paths_of_options(root: Path) -> None:
    (root.parent / "GLOBAL/config").write_text("['remote \"mine\"']\nurl = ../elsewhere\n")
    (root / ".dvc/config.local").write_text("['remote \"staging\"']\ncredentialpath = ../keys\n")
    loaded = dvc_config.load(root)
    assert loaded["mine"].url == str(root.parent / "elsewhere")
    assert loaded["staging"].options == {"credentialpath": str(root / "keys")}


@pytest.mark.parametrize(
    ("url", "read"),
    [("../.registry/staging", ".registry/staging"), ("/srv/data", "/srv/data"), ("s3://a/b", "s3://a/b")],
)
def test_a_folder_is_relative_to_the_root(root: Path, url: str, read: str) -> None:
    config = BOTH.replace("s3://acme/staging", url)
    (root / ".dvc/config").write_text(config)
    assert dvc_config.load(root)["staging"].url == read
    assert dvc_config.parse(config.encode())["staging"].url == read


HOSTILE = {
    "typo": "['remote \"a\"']\nurl = s3://b\nendpoint_url = http://x\n",
    "option of another scheme": "['remote \"a\"']\nurl = gs://b\nprofile = x\n",
    "az": "['remote \"a\"']\nurl = az://b\n",
    "unknown section": "[remotes]\na = 1\n",
    "unknown key": "[core]\nremotes = a\n",
    "no url": "['remote \"a\"']\njobs = 1\n",
    "no number": "['remote \"a\"']\nurl = s3://b\njobs = many\n",
    "not a flag": "['remote \"a\"']\nurl = s3://b\nuse_ssl = maybe\n",
    "twice": "[core]\nremote = a\n[core]\nremote = b\n",
    "key twice": "[core]\nremote = a\nremote = b\n",
    "interpolation": "['remote \"a\"']\nurl = s3://%(x)s\n",
    "nested": "['remote \"a\"']\nurl = s3://b\n[[more]]\nx = 1\n",
    "too nested": "[[a]]\n",
    "list for a url": "['remote \"a\"']\nurl = s3://b, s3://c\n",
    "list for a text": "['remote \"a\"']\nurl = s3://b\nregion = c, d\n",
    "no section": "remote\n",
    "byte order mark": "\ufeff[core]\nremote = a\n",
    "NUL": "\x00[[",
    "value for a section": "[remote]\na = 1\n",
}
FORMS = {
    "no quotes": '[remote "a"]\nurl = s3://b\n',
    "other quotes": "[\"remote 'a'\"]\nurl = s3://b\n",
    "capitals": "['REMOTE \"A\"']\nURL = s3://b\n",
    "spaces": "[ ' remote  \"a\" ' ]\n  url   =   s3://b\n",
    "quoted": "['remote \"a\"']\n'url' = \"s3://b\"\n",
    "comment": "['remote \"a\"']\nurl = s3://b # here\n",
    "interpolated": "['remote \"a\"']\nregion = eu\nurl = s3://%(region)s\n",
    "CRLF": "['remote \"a\"']\r\nurl = s3://b\r\n",
    "three quotes": "['remote \"a\"']\nurl = '''s3://b'''\n",
    "interpolated from the top": "x = s3://b\n['remote \"a\"']\nurl = %(x)s\n",
}


@pytest.mark.parametrize("text", [*HOSTILE.values(), *FORMS.values()], ids=[*HOSTILE, *FORMS])
def test_every_form_is_read_or_refused_as_by_dvc(root: Path, text: str) -> None:
    (root / ".dvc/config").unlink()
    (root / ".dvc/config.local").write_bytes(text.encode())
    try:
        theirs = {name: values["url"] for name, values in Config(root / ".dvc")["remote"].items()}
    except (ConfigError, ConfigObjError, Invalid, AttributeError, TypeError):  # a traceback is a refusal, too
        theirs = None
    for read in (lambda: dvc_config.parse(text.encode()), lambda: dvc_config.load(root)):
        try:
            ours = {name: remote.url for name, remote in read().items()}
        except InvalidDocument:
            ours = None
        assert ours == theirs


def test_a_committed_file_has_one_spelling_for_every_command(root: Path) -> None:
    accepted = set()
    for name, text in {**HOSTILE, **FORMS}.items():
        (root / ".dvc/config").write_bytes(text.encode())
        with suppress(InvalidDocument):
            dvc_config.load(root)
            accepted.add(name)
    assert accepted == {"CRLF"}


@pytest.mark.parametrize(
    ("option", "value", "command"),
    [
        ("configpath", "../elsewhere", ("push",)),
        ("profile", "mine", ("push",)),
        ("ssl_verify", "false", ("gc", "--plan")),
    ],
)
def test_no_command_obeys_what_a_committed_file_must_not_say(
    registry_repo: Path, run_registry: Run, option: str, value: str, command: tuple[str, ...]
) -> None:
    config = registry_repo / ".dvc/config"
    section = "['remote \"staging\"']\n    url = "
    config.write_text(config.read_text().replace(section, f"{section}s3://acme\n    {option} = {value}\n    #", 1))
    result = run_registry(registry_repo, *command)
    assert result.code == 1
    assert f"remote.staging.{option} must not be set for every clone" in result.err


@pytest.mark.parametrize("command", [("checkout",), ("push",)])
def test_a_commit_does_not_say_where_the_cache_is(
    registry_repo: Path, run_registry: Run, command: tuple[str, ...]
) -> None:
    config = registry_repo / ".dvc/config"
    config.write_text(config.read_text().replace("[cache]\n", "[cache]\n    dir = ../../elsewhere\n"))
    result = run_registry(registry_repo, *command)
    assert (result.code, "cache.dir must not be set for every clone" in result.err) == (1, True)
    assert not (registry_repo.parent / "elsewhere").exists()


def test_a_large_configuration_is_refused_before_it_is_parsed(registry_repo: Path, run_registry: Run) -> None:
    (registry_repo / ".dvc/config").write_text("[" * 1_000_000)
    result = run_registry(registry_repo, "checkout")
    assert (result.code, "the limit is 16,384" in result.err) == (1, True)


def test_bytes_that_are_no_text(root: Path) -> None:
    data = b"[core]\nremote = \xff\n"
    (root / ".dvc/config").write_bytes(data)
    for read in (lambda: dvc_config.parse(data), lambda: dvc_config.load(root)):
        with pytest.raises(InvalidDocument, match=r"^\.dvc/config: not a DVC configuration file: 'utf-8' codec"):
            read()


@pytest.mark.parametrize("path", ["GLOBAL/config", "top/.dvc/config.local", "top/.dvc/config"])
def test_the_file_and_line_of_a_typo_are_named_with_dvcs_words(root: Path, path: str) -> None:
    file = root.parent / path
    old = file.read_text() if file.exists() else "['remote \"production\"']\n"
    file.write_text(f"{old}endpoint_url = http://x\n")
    with pytest.raises(InvalidDocument) as caught:
        dvc_config.load(root)
    name = path.removeprefix("top/") if path.startswith("top") else str(file)
    line = len(file.read_text().splitlines())
    words = "extra keys not allowed @ data['remote']['production']['endpoint_url']"
    assert str(caught.value).startswith(f"{name}:{line}: {words}\n  hint: use endpointurl")


def test_a_typo_stops_every_command_that_opens_a_store_as_it_stops_dvc(registry_repo: Path, run_registry: Run) -> None:
    config = registry_repo / ".dvc/config"
    config.write_text(config.read_text().replace("url = ", "endpoint_url = http://x\n    url = ", 1))
    dvc = subprocess.run([sys.executable, "-m", "dvc", "push"], cwd=registry_repo, capture_output=True)
    assert dvc.returncode
    for command in (("push",), ("gc", "--plan"), ("check", "--all")):
        result = run_registry(registry_repo, *command)
        assert result.code == 1
        words = "extra keys not allowed @ data['remote']['staging']['endpoint_url']"
        assert words in result.out + result.err
