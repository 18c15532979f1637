import pytest

from registry.core import settings
from registry.core.tree import DictTree
from registry.errors import InvalidDocument

REGISTRY = b"schema: 1\nname: acme-data\nowners: ['@acme/data']\nlake: s3://acme-images\n"
CONFIG = b"""[core]
    remote = production
['remote "staging"']
    url = ../.registry/staging
['remote "production"']
    url = s3://acme-data/production
    endpointurl = http://127.0.0.1:8333
['remote "public"']
    url = https://data.acme.example
"""


def tree(registry: bytes = REGISTRY, config: bytes = CONFIG) -> DictTree:
    return DictTree({"registry.yaml": registry, ".dvc/config": config})


def test_settings_join_registry_yaml_and_dvc_config() -> None:
    loaded = settings.load(tree())
    assert (loaded.name, loaded.owners, loaded.lake.url) == ("acme-data", ("@acme/data",), "s3://acme-images")
    assert loaded.staging.url == ".registry/staging"
    assert loaded.production == settings.Remote("s3://acme-data/production", {"endpointurl": "http://127.0.0.1:8333"})
    assert loaded.public == settings.Remote("https://data.acme.example")


def test_missing_remote_names_the_command_that_adds_it() -> None:
    with pytest.raises(InvalidDocument, match=r"no remote staging\n  hint: dvc remote add staging URL"):
        settings.load(tree(config=b"[core]\n"))


def test_unreadable_config_is_an_error_of_that_file() -> None:
    with pytest.raises(InvalidDocument, match=r"^\.dvc/config:1: not a DVC configuration file"):
        settings.load(tree(config=b"\x00[["))


def test_unknown_key_in_registry_yaml_has_its_line() -> None:
    with pytest.raises(InvalidDocument, match=r"^registry\.yaml:5: unknown key 'lakes'"):
        settings.load(tree(REGISTRY + b"lakes: no\n"))


@pytest.mark.parametrize("url", ["s3://acme/staging", "/srv/data/staging", ".registry/elsewhere"])
def test_written_remotes_read_back_and_the_rest_stays(url: str) -> None:
    remotes = settings.read_remotes(settings.write_remotes(CONFIG, {"staging": url}))
    assert remotes == settings.read_remotes(CONFIG) | {"staging": settings.Remote(url)}


def test_what_config_local_says_goes_before() -> None:
    local = b"""['remote "production"']
    profile = publisher
['remote "staging"']
    url = s3://acme-scratch/staging
"""
    loaded = settings.load(tree(), local)
    options = {"endpointurl": "http://127.0.0.1:8333", "profile": "publisher"}
    assert loaded.production == settings.Remote("s3://acme-data/production", options)
    assert loaded.staging == settings.Remote("s3://acme-scratch/staging")
    with pytest.raises(InvalidDocument, match=r"^\.dvc/config\.local:1: not a DVC configuration file"):
        settings.load(tree(), b"\x00[[")


S3 = b"""['remote "staging"']
    url = s3://acme-data/staging
    profile = acme
['remote "production"']
    url = s3://acme-data/production
"""


def test_the_lake_is_logged_in_to_as_staging_unless_it_has_a_remote_of_its_own() -> None:
    assert settings.load(tree(config=S3)).lake.options == {"profile": "acme"}
    own = S3 + b"""['remote "lake"']\n    url = s3://acme-images\n    profile = photos\n"""
    assert settings.load(tree(config=own)).lake.options == {"profile": "photos"}
    assert settings.load(tree(REGISTRY.replace(b"s3://", b"gs://"), S3)).lake.options == {}
