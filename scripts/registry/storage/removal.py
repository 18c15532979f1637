"""Commands with which an administrator deletes an object from a bucket: of the AWS CLI, gcloud and the Azure CLI.

They reach the same place as the remote: what its options say of endpoint, login and certificates is in the command.
Secrets never are: the tools find them as the remote does, in their variables and files.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.storage.s3_signing import S3Location


@dataclass(frozen=True, slots=True)
class Removal:
    """The words of the command; what it deletes is `place` followed by the key."""

    words: tuple[str, ...]
    place: str

    def of(self, key: str) -> str:
        """The command for one object, quoted for a shell."""
        return shlex.join([*self.words, f"{self.place}{key}"])


def with_aws(url: str, location: S3Location, options: Mapping[str, str]) -> Removal:
    """`aws s3 rm`. `options` are the remote's."""
    return Removal((*_aws_variables(options), "aws", *_aws_options(location, options), "s3", "rm"), f"{url}/")


def _aws_variables(options: Mapping[str, str]) -> Iterator[str]:
    """Files of the remote's own, for which the AWS CLI has no options."""
    files = {"configpath": "AWS_CONFIG_FILE", "credentialpath": "AWS_SHARED_CREDENTIALS_FILE"}
    found = [f"{name}={options[option]}" for option, name in files.items() if option in options]
    yield from ("env", *found) if found else ()


def _aws_options(location: S3Location, options: Mapping[str, str]) -> Iterator[str]:
    if location.endpoint:
        yield from ("--endpoint-url", location.endpoint)
    for name in ("profile", "region"):
        if name in options:
            yield from (f"--{name}", options[name])
    if not location.connection.verify:
        yield "--no-verify-ssl"
    elif location.connection.bundle and "ssl_verify" in options:  # the AWS CLI reads variables and profiles itself
        yield from ("--ca-bundle", location.connection.bundle)


def with_gcloud(url: str, endpoint: str) -> Removal:
    """`gcloud storage rm`, which takes an endpoint from a variable only."""
    variable = ("env", f"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE={endpoint}/storage/v1/") if endpoint else ()
    return Removal((*variable, "gcloud", "storage", "rm"), f"{url}/")


def with_az(container: str, prefix: str, account: str, endpoint: str) -> Removal:
    """`az storage blob delete`; `endpoint` is that of the account, where it is not Azure's usual one."""
    where = ("--blob-endpoint", endpoint) if endpoint else ()
    words = (
        "az",
        "storage",
        "blob",
        "delete",
        "--account-name",
        account,
        *where,
        "--container-name",
        container,
        "--name",
    )
    return Removal(words, f"{prefix}/" if prefix else "")
