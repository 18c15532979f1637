"""The next steps of storage errors, in the words of each kind of store."""

import re

import pytest

from registry.core.settings import Remote
from registry.storage import faults
from registry.storage.dvc_config import options_of
from registry.storage.faults import FAULTS, Fault, find_fault, read_details

SCHEMES = ("s3", "gs", "azure", "http", "https")
ONLY = {faults.WRONG_REGION: "s3", faults.BAD_FILE: "gs"}  # faults that no other scheme has
EVERY = {
    *FAULTS.values(),
    *(one for one in vars(faults).values() if isinstance(one, Fault)),
    *(find_fault(status, faults.NOTHING) for status in range(400, 600)),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_options_in_next_steps_are_those_that_dvc_accepts(scheme: str) -> None:
    """DVC refuses `profile` for Azure, for example: the next step would fail."""
    others = {fault for fault, own in ONLY.items() if own != scheme}
    remote = Remote(f"{scheme}://data", name="staging")
    said = [fault.for_remote(remote) for fault in EVERY - others]
    named = {found for one in said for found in re.findall(r"dvc remote modify (?:--local )?staging (\w+)", one.fix)}
    assert named <= options_of(scheme)
    assert [one for one in said if "{" in one.message + one.fix] == []


EXPIRED = "Signature not valid in the specified time frame: Start [a] - Expiry [b]"
WRONG = "The MAC signature found in the HTTP request 'hush' is not the same as any computed signature."
AZURE = (
    (403, f"AuthenticationFailed</Code><AuthenticationErrorDetail>{EXPIRED}<", "the credentials have expired"),
    (403, f"AuthenticationFailed</Code><AuthenticationErrorDetail>{WRONG}<", "the signature does not match"),
    (
        401,
        "InvalidAuthenticationInfo</Code><Message>Lifetime validation failed. The token is expired.<",
        "have expired",
    ),
    (401, "NoAuthenticationInformation</Code>", "no valid credentials"),
    (403, "AccountIsDisabled</Code>", "without billing"),
    (409, "ContainerBeingDeleted</Code>", "the container does not exist"),
    (409, "BlobImmutableDueToPolicy</Code>", "an immutability policy refuses this"),
    (409, "BlobArchived</Code>", "the object is archived"),
    (503, "ServerBusy</Code>", "the server limits the rate"),
)


@pytest.mark.parametrize(("status", "code", "words"), AZURE)
def test_azure_answers_are_said_for_what_they_are(status: int, code: str, words: str) -> None:
    fault = find_fault(status, read_details(f"<Error><Code>{code}</Error>")).for_remote(
        Remote("azure://data", name="staging")
    )
    assert words in fault.message
    assert "hush" not in fault.message + fault.fix


def test_a_status_that_no_standard_has() -> None:
    assert find_fault(520, faults.NOTHING).message == "the server responded with 520"
