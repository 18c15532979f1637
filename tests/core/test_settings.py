import pytest

from registry.core import settings
from registry.core.settings import Remote
from registry.core.tree import DictTree
from registry.errors import InvalidDocument

REGISTRY = b"schema: 1\nname: acme-data\nowners: ['@acme/data']\nlake: s3://acme-images\n"
REMOTES = {
    "staging": Remote("s3://acme-data/staging", {"profile": "acme"}, "staging"),
    "production": Remote("s3://acme-data/production", {}, "production"),
}


def read(data: bytes = REGISTRY) -> settings.RegistryFile:
    return settings.read(DictTree({"registry.yaml": data}))


def test_settings_join_registry_yaml_and_the_remotes() -> None:
    public = Remote("https://data.acme.example")
    loaded = settings.join(read(), REMOTES | {"public": public})
    assert (loaded.file.name, loaded.file.owners) == ("acme-data", ("@acme/data",))
    assert (loaded.staging, loaded.production) == (REMOTES["staging"], REMOTES["production"])
    assert loaded.public == public


def test_missing_remote_names_the_command_that_adds_it() -> None:
    with pytest.raises(InvalidDocument, match=r"no remote staging\n  hint: dvc remote add staging URL"):
        settings.join(read(), {})


def test_unknown_key_in_registry_yaml_has_its_line() -> None:
    with pytest.raises(InvalidDocument, match=r"^registry\.yaml:5: unknown key 'lakes'"):
        read(REGISTRY + b"lakes: no\n")


def test_the_lake_is_logged_in_to_as_staging_unless_it_has_a_remote_of_its_own() -> None:
    assert settings.join(read(), REMOTES).lake == Remote("s3://acme-images", {"profile": "acme"})
    own = Remote("s3://acme-images", {"profile": "photos"}, "lake")
    assert settings.join(read(), REMOTES | {"lake": own}).lake == own
    assert settings.join(read(REGISTRY.replace(b"s3://", b"gs://")), REMOTES).lake == Remote("gs://acme-images")
