"""A committed `.dvc/config` says nothing that makes DVC fetch elsewhere, run code, or believe less."""

import pytest

from registry.core import committed_config
from registry.core.committed_config import SECTIONS, Meaning
from registry.storage import dvc_config

REMOTES = "['remote \"staging\"']\n    url = ../.registry/staging\n['remote \"production\"']\n    url = s3://acme/production\n"
SOUND = (
    "[core]\n    analytics = false\n    remote = production\n[cache]\n"
    f'    type = "reflink,hardlink,symlink"\n# where objects are: ä\n{REMOTES}'
    "    endpointurl = https://s3.acme.example\n    region = eu-central-1\n    verify = true\n"
    "['remote \"lake\"']\n    url = s3://acme/a%20b\n    jobs = 4\n    sse = aws:kms\n"
)


def faults_of(text: str) -> list[str]:
    """What is wrong with a file, by both readings."""
    if misspelled := [f"{fault.line}: {fault.message}" for fault in committed_config.find_misspelled(text)]:
        return misspelled
    return [fault.message for fault in committed_config.find_forbidden(dvc_config.read_committed(text.encode()))]


def test_what_init_and_dvc_write_is_allowed() -> None:
    assert faults_of(SOUND) == []
    assert faults_of(SOUND.replace("\n", "\r\n")) == []


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("[core]\nremote = staging\n", "core.remote must not be set for every clone: consumers download from"),
        ("[core]\nsite_cache_dir = ../x\n", "core.site_cache_dir must not"),
        ("[core]\nhardlink_lock = true\n", "core.hardlink_lock must not"),
        ("[core]\nautostage = true\n", "core.autostage must not"),
        ("[core]\nno_scm = true\n", "core.no_scm must not"),
        ("[cache]\ndir = /tmp/theirs\n", "cache.dir must not be set for every clone: DVC would read and write"),
        ("[cache]\nshared = group\n", "cache.shared must not"),
        ("[state]\ndir = x\n", "state.dir must not be set for every clone: DVC ignores it"),
        ("[exp]\ngit_remote = x\n", "exp.git_remote must not"),
        ("[plots]\nhtml_template = x\n", "plots.html_template must not"),
        ("[hydra]\nplugins_path = x\n", "hydra.plugins_path must not be set for every clone: it names code"),
        ("[studio]\nurl = https://x\n", "studio.url must not"),
        ("[parsing]\nbool = store_true\n", "parsing.bool must not"),
        ("[feature]\nnew = true\n", "feature.new must not be set for every clone: it is in no table"),
        ("['machine \"x\"']\ncloud = aws\n", "machine.x.cloud must not"),
        ("['db \"x\"']\nurl = x\n", "db.x.url must not"),
        *(
            (f"['remote \"x\"']\nurl = {url}\n{option}\n", f"remote.x.{option.split()[0]} must not")
            for url, option in (
                ("s3://x", "profile = admin"), ("s3://x", "configpath = aws.ini"), ("s3://x", "credentialpath = x"),
                ("s3://x", "ssl_verify = false"), ("s3://x", "ssl_verify = ca.pem"), ("s3://x", "use_ssl = false"),
                ("s3://x", "verify = false"), ("https://x", "ask_password = true"),
                ("https://x", "custom_auth_header = x"), ("ssh://x", "keyfile = x"),
                ("ssh://x", "gss_auth = true"), ("webdavs://x", "bearer_token_command = ls"),
                ("gdrive://x", "gdrive_client_id = x"),
            )
        ),
    ],
)  # fmt: skip
def test_an_option_that_redirects_or_weakens_or_runs_something_is_wrong(section: str, fault: str) -> None:
    found = faults_of(REMOTES + section)
    assert [message[: len(fault)] for message in found] == [fault]


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_the_value_that_is_always_meant_may_be_written(value: str) -> None:
    assert faults_of(f"{REMOTES}verify = {value}\nssl_verify = {value}\nuse_ssl = {value}\n") == []


HIDDEN = (
    "[ 'remote \"evil\"' ]\nurl = s3://x\n",
    "['remote \"evil\"'] # a comment\nurl = s3://x\n",
    "    [core]\nremote = evil\n",
    '[core]\n"remote" = evil\n',
    "[core]\n'remote'=evil\n",
    '["core"]\nremote = evil\n',
    "[CORE]\nREMOTE = evil\n",
    "[core]\nremote = production # evil\n",
    "[remote]\n[[evil]]\nurl = s3://x\n",
    "[core]\nremote = production,\n",
    "[core]\nremote = '''\nevil\n'''\n",
    "[core]\nx = evil\nremote = %(x)s\n",
    '[core]\nremote = "%(x)s"\n',
    "# a comment\u2028[core]\u2028remote = evil\n",
    "# a comment\x85[core]\x85remote = evil\n",
    "# a comment\x0b[core]\x0bremote = evil\n",
    "# a comment\r[core]\rremote = evil\n",
    "\ufeff[core]\nremote = evil\n",
    "[" * 10_000,
    "#\n" * 10_000,
)


@pytest.mark.parametrize("text", HIDDEN)
def test_a_spelling_that_hides_an_option_is_wrong_before_it_is_read(text: str) -> None:
    assert list(committed_config.find_misspelled(REMOTES + text if "\ufeff" not in text else text + REMOTES))


def test_the_line_is_named() -> None:
    expected = "6: this line is not in the form that DVC writes"
    assert faults_of(f"{REMOTES}region = x\n[CORE]\n") == [expected]


def test_what_is_wrong_has_a_reason_and_nothing_else_has() -> None:
    rules = [rule for options in SECTIONS.values() for rule in options.values()]
    assert all(bool(rule.reason) == (rule.meaning is Meaning.WRONG) for rule in rules)
