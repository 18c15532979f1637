import pytest

from registry.checks.context import Scope
from registry.core.values import Finding, Verdict
from support import memory_registries
from support.memory_registries import Registry

CONFIG = ".dvc/config"


def found(registry: Registry, check: str, *args: object, **kwargs: object) -> list[Finding]:
    return [finding for finding in registry.check(*args, **kwargs) if finding.check == check]


@pytest.mark.parametrize("scope", Scope)
def test_nothing_is_found_where_everything_is_sound(scope: Scope) -> None:
    assert memory_registries.sound().check(scope) == []


def test_settings_that_cannot_be_read() -> None:
    registry = memory_registries.sound()
    registry.files["registry.yaml"] = b"schema: 1\nname: x\nowners: []\nlake: x\n"
    (finding,) = found(registry, "settings")
    assert (finding.path, finding.line, finding.message) == ("registry.yaml", 3, "owners: is empty")


def test_outdated_generated_files_are_reported_with_the_command_that_writes_them() -> None:
    registry = memory_registries.sound()
    registry.files["CODEOWNERS"] = b"* @evil\n"
    (finding,) = found(registry, "generated-files")
    assert (finding.path, finding.line, finding.verdict) == ("CODEOWNERS", 1, Verdict.WRONG)
    assert finding.fix == "registry check --fix"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("datasets/Pets/dataset.yaml", "'Pets' is not a valid artifact name"),
        ("datasets/p\u0435ts/dataset.yaml", "'p\\u0435ts' is not a valid artifact name"),
        ("datasets/birds/README.md", "dataset.yaml is missing"),
        ("models/birds/train.py", "model.yaml is missing"),
    ],
)
def test_a_folder_that_is_no_artifact(path: str, message: str) -> None:
    registry = memory_registries.sound()
    registry.files[path] = b"x"
    (finding,) = registry.check()
    assert (finding.check, finding.path, finding.message) == ("folders", path.rpartition("/")[0], message)


def test_a_removal_needs_an_owner() -> None:
    registry = memory_registries.sound()
    gone = {path for path in registry.files if path.startswith("models/pets/")}
    registry.files = {path: data for path, data in registry.files.items() if path not in gone}
    (finding,) = found(registry, "removed", Scope.STAGED, gone)
    assert (finding.verdict, str(finding.artifact)) == (Verdict.NEEDS_OWNER, "models/pets")


@pytest.mark.parametrize(
    "line",
    [
        "    access_key_id = AKIA123", "secret_access_key=hunter2", "\tsession_token = hunter2",
        "    password = hunter2", "    CONNECTION_STRING = DefaultEndpointsProtocol=https", "    sas_token = hunter2",
        "    gdrive_client_secret = hunter2",
        "    oss_key_secret = hunter2", "    account_key = hunter2",
    ],
)  # fmt: skip
def test_a_secret_in_the_config_is_named_and_never_shown(line: str) -> None:
    registry = memory_registries.sound()
    registry.files[CONFIG] += f"{line}\n".encode()
    (finding,) = found(registry, "secrets")
    assert (finding.path, finding.line, finding.verdict) == (CONFIG, 7, Verdict.WRONG)
    assert line.partition("=")[2].strip() not in finding.message + finding.fix


@pytest.mark.parametrize(
    "url", ["https://ana:hunter2@example.com/x", "s3://key@bucket/x", "https://example.com/x?sig=hunter2", "azure://c?a=1&token=hunter2"]
)  # fmt: skip
def test_a_url_with_credentials_is_wrong_wherever_it_stands(url: str) -> None:
    registry = memory_registries.sound()
    registry.files[CONFIG] = registry.files[CONFIG].replace(b"../.registry/production", url.encode())
    registry.files["registry.yaml"] = registry.files["registry.yaml"].replace(b".registry/lake", url.encode())
    secrets = found(registry, "secrets")
    assert [(finding.path, finding.line) for finding in secrets] == [(CONFIG, 6), ("registry.yaml", 4)]
    assert not any("hunter2" in finding.message + finding.fix for finding in registry.check())


@pytest.mark.parametrize(
    "line",
    [
        "    profile = acme",
        "    endpointurl = https://s3.example.com",
        "    ask_password = true",
        "    account_name = acme",
    ],
)
def test_what_is_no_secret(line: str) -> None:
    registry = memory_registries.sound()
    registry.files[CONFIG] += f"{line}\n".encode()
    assert found(registry, "secrets") == []


@pytest.mark.parametrize(
    "path", ["looker.ini", ".dvc/config.local", ".env", "deep/down/.netrc", "models/pets/looker.ini"]
)
def test_a_file_that_is_made_for_secrets(path: str) -> None:
    registry = memory_registries.sound()
    registry.files[path] = b"client_secret=hunter2"
    (finding,) = found(registry, "secrets")
    assert (finding.path, finding.verdict) == (path, Verdict.WRONG)


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("['remote \"x\"']\nurl = s3://x\nprofile = acme\n", 3, "remote.x.profile must not be set for every clone"),
        ("[ 'remote \"evil\"' ]\n    url = s3://evil\n", 1, "this line is not in the form that DVC writes"),
        ("# x\u2028['remote \"evil\"']\u2028url = s3://evil\n", 1, "this line is not in the form that DVC writes"),
        ("[cache]\n    dir = ../x\n", 2, "cache.dir must not be set for every clone"),
    ],
)
def test_the_committed_configuration_is_closed(text: str, line: int, fault: str) -> None:
    registry = memory_registries.sound()
    line += registry.files[CONFIG].count(b"\n")
    registry.files[CONFIG] += text.encode()
    (finding,) = found(registry, "settings")
    assert (finding.message[: len(fault)], finding.line, finding.verdict) == (fault, line, Verdict.WRONG)


def test_a_place_that_points_elsewhere_needs_an_owner_and_a_new_one_does_not() -> None:
    registry = memory_registries.sound()
    registry.releases["before"] = dict(registry.files)
    registry.files[CONFIG] = registry.files[CONFIG].replace(b"../.registry/production", b"s3://elsewhere")
    (finding,) = registry.check(Scope.BASE, {CONFIG})
    assert (finding.check, finding.verdict) == ("storage-locations", Verdict.NEEDS_OWNER)
    assert finding.message == "the remote production now points to a different location"
    assert memory_registries.sound().check(Scope.BASE, {CONFIG}) == []
