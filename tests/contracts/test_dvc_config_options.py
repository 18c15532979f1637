"""The table of what a committed `.dvc/config` may say has every section and option of DVC's schema."""

import os
import shlex
from pathlib import Path

import pytest
from dvc.cli import main
from dvc.config_schema import REMOTE_SCHEMAS, SCHEMA
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import committed_config
from registry.core.committed_config import SECTIONS
from registry.errors import InvalidDocument
from registry.storage import dvc_config


def options_of(section: str) -> set[str]:
    """The options that DVC knows in a section."""
    match section:
        case "remote":
            schemes = (options for scheme, options in REMOTE_SCHEMAS.items() if scheme != "remote")
            return {str(option) for options in schemes for option in options}
        case "machine" | "db":
            return {str(option) for option in SCHEMA[section][str]}
        case "feature":
            return {str(option) for option in SCHEMA[section].schema}
    return {str(option) for option in SCHEMA[section]}


@pytest.mark.parametrize("section", sorted({*SCHEMA, *SECTIONS}))
def test_each_option_of_dvc_is_in_the_table_and_no_other_is(section: str) -> None:
    assert options_of(section) == SECTIONS[section].keys()


def test_what_dvc_writes_is_in_the_form_that_is_allowed(registry_repo: Path) -> None:
    def run(*args: str) -> None:
        assert main(["--cd", str(registry_repo), *args]) == 0

    run("config", "cache.type", "reflink,copy")
    run("remote", "add", "lake", "s3://acme/a,b#c d")
    run("remote", "modify", "lake", "endpointurl", "https://s3.acme.example:9000/")
    run("remote", "modify", "lake", "sse_kms_key_id", "arn:aws:kms:eu-central-1:1:key/a-b")
    text = (registry_repo / ".dvc/config").read_text()
    assert "s3://acme/a,b#c d" in text
    assert list(committed_config.find_misspelled(text)) == []
    assert (
        os.linesep.join(
            fault.message for fault in committed_config.find_forbidden(dvc_config.read_sections(text.encode()))
        )
        == ""
    )


@pytest.mark.parametrize(
    "text",
    [
        "[core]\nremote = staging\n",
        "[core]\nsite_cache_dir = x\n",
        "[exp]\nauto_push = true\n",
        "['remote \"x\"']\nurl = s3://x\nprofile = acme\n",
        "['remote \"x\"']\nurl = s3://x\nssl_verify = false\n",
    ],
)
def test_the_command_that_a_fault_names_mends_it(registry_repo: Path, text: str) -> None:
    config = registry_repo / ".dvc/config"
    config.write_text(text)
    (fault,) = committed_config.find_forbidden(dvc_config.read_sections(config.read_bytes()))
    assert main(["--cd", str(registry_repo), *shlex.split(fault.fix.partition(";")[0])[1:]]) == 0
    assert list(committed_config.find_forbidden(dvc_config.read_committed(config.read_bytes()))) == []


LINES = st.lists(
    st.text("[]'\"= \t#;,%()s:/.-_\u2028\x85\r\x0bremotcu", max_size=25)
    | st.sampled_from(["[core]", "remote = evil", "['remote \"x\"']", "url = s3://x", "[[x]]", "x = '''", 'x = "a']),
    max_size=6,
).map("\n".join)


@given(LINES)
@settings(max_examples=200)
def test_every_option_that_dvc_reads_stands_on_a_line_of_its_own(text: str) -> None:
    """What is in the allowed form hides nothing: each name and value that DVC reads can be read on a line."""
    try:
        sections = dvc_config.read_committed(text.encode())
    except InvalidDocument:
        return
    lines = [line.strip() for line in text.split("\n")]
    for section, values in sections.items():
        named = values.items() if section in {"remote", "machine", "db"} else [("", values)]
        for name, options in named:
            assert (f"['{section} \"{name}\"']" if name else f"[{section}]") in lines or not options
            assert all(
                f"{option}={value}" in [line.replace(" ", "").replace('"', "") for line in lines]
                for option, value in options.items()
            )
