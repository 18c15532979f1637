"""Every option that DVC's schema allows for a remote is in the table of what becomes of it."""

import pytest
from dvc.config_schema import REMOTE_SCHEMAS
from dvc_objects.fs import known_implementations

from registry.storage.remote_options import OPTIONS, Handling


@pytest.mark.parametrize("scheme", OPTIONS)
def test_each_option_of_dvc_has_a_handling_and_no_other_has(scheme: str) -> None:
    assert {str(option) for option in REMOTE_SCHEMAS[scheme]} == OPTIONS[scheme].keys()


def test_what_is_not_honoured_says_why() -> None:
    for options in OPTIONS.values():
        assert all(bool(option.reason) != (option.handling is Handling.HONOURED) for option in options.values())


def test_the_plug_ins_are_those_of_dvc() -> None:
    assert known_implementations["gs"]["class"].startswith("dvc_gs.")
    assert known_implementations["azure"]["class"].startswith("dvc_azure.")
