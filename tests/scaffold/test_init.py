import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.config import Config

from registry.core import settings
from registry.core.tree import DictTree
from registry.errors import InvalidDocument, Refused
from registry.scaffold import init
from registry.storage import dvc_config
from support.repositories import Run, git_in
from support.servers.github import GitHub, serve

FRESH = {
    "registry.yaml": b"schema: 1\nname: registry-template\nowners: ['@acme/data'] # who\nlake: .registry/lake\n",
    ".dvc/config": b"""['remote "staging"']
    url = ../.registry/staging
['remote "production"']
    url = ../.registry/production
""",
}
ANSWERS = init.Answers("birds", ("@birds/data",), *init.places_in("s3://birds/"), "s3://birds-lake")


def load(plan: init.Plan) -> settings.Settings:
    """The settings that a plan writes."""
    return settings.join(settings.read(DictTree(plan.files)), dvc_config.parse(plan.files[".dvc/config"]))


def test_a_fresh_copy_becomes_somebodys() -> None:
    plan = init.plan(DictTree(FRESH), ANSWERS)
    assert str(plan).splitlines() == [
        "registry.yaml: name registry-template → birds",
        "registry.yaml: owners @acme/data → @birds/data",
        "registry.yaml: lake .registry/lake → s3://birds-lake",
        ".dvc/config: staging .registry/staging → s3://birds-staging",
        ".dvc/config: production .registry/production → s3://birds-production",
    ]
    loaded = load(plan)
    assert (loaded.file.name, loaded.lake.url, loaded.production.url) == (
        "birds",
        "s3://birds-lake",
        "s3://birds-production",
    )
    assert b"# who" in plan.files["registry.yaml"]


def test_a_second_run_is_refused_unless_it_is_meant() -> None:
    done = DictTree(init.plan(DictTree(FRESH), ANSWERS).files)
    with pytest.raises(Refused, match="registry birds is set up already") as error:
        init.plan(done, ANSWERS)
    assert "--again" in error.value.fix
    assert str(init.plan(done, ANSWERS, again=True)) == "nothing changes"


@pytest.mark.parametrize("url", ["s3://key:hush@bucket", "https://user:hush@host/x"])
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(Refused, match="contains credentials") as error:
        init.plan(DictTree(FRESH), init.Answers("birds", ("@a",), *init.places_in(url), "lake"))
    assert "hush" not in str(error.value)


def test_an_owner_that_the_schema_refuses_is_not_written() -> None:
    with pytest.raises(InvalidDocument, match="owners"):
        init.plan(DictTree(FRESH), init.Answers("birds", ("ann",), "s", "p", "l"))


def test_the_worked_example_goes_unless_it_is_to_stay(tmp_path) -> None:
    tree = DictTree(FRESH | {"datasets/cats_dogs/dataset.yaml": b"", "datasets/mine/dataset.yaml": b""})
    for path in ("datasets/cats_dogs/dataset.yaml", "datasets/mine/dataset.yaml"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    assert not init.plan(tree, ANSWERS, keep_example=True).removed
    plan = init.plan(tree, ANSWERS)
    assert str(plan).endswith("datasets/cats_dogs: the worked example is removed (--keep-example keeps it)")
    init.apply(plan, tmp_path)
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("place", "between"), [("s3://acme", "-"), ("gs://acme/", "-"), ("s3://acme/data/", "/"), (".registry", "/")]
)
def test_a_name_is_that_of_two_buckets_and_a_folder_has_two(place: str, between: str) -> None:
    start = place.rstrip("/") + between
    assert init.places_in(place) == (f"{start}staging", f"{start}production")


def test_what_the_template_set_up_without_variables_can_be_set_up_by_hand(
    registry_repo: Path, run_registry: Run
) -> None:
    """In either order: template.yml runs `registry init --once` at the first push, a maintainer what README says."""
    template = (
        "init",
        "--once",
        "--name",
        "data",
        "--owner",
        "@ada",
        "--bucket",
        ".registry",
        "--lake",
        ".registry/lake",
    )
    assert run_registry(registry_repo, *template).code == 0
    assert run_registry(registry_repo, *S3[:1], *S3[2:]).code == 0
    done = run_registry(registry_repo, *template)
    assert (done.code, done.out) == (0, "the registry x is set up already: nothing to do\n")
    assert run_registry(registry_repo, *S3[:1], *S3[2:]).refused("set up already: staging s3://data-staging", "--again")


@pytest.fixture
def hub(registry_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """The registry's GitHub, with the user octocat and the organization acme."""
    with serve(GitHub(organizations=["acme"], users={"octocat": 1})) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


def test_an_organization_is_no_owner(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    given = ("init", "--name", "x", "--bucket", "b", "--lake", "l", "--owner")
    assert run_registry(registry_repo, *given, "@acme").refused("owner @acme is an organization", "@acme/TEAM")
    assert run_registry(registry_repo, *given, "@no-such-user").refused("GitHub has no such user")
    assert "name: registry-template" in (registry_repo / "registry.yaml").read_text()
    done = run_registry(registry_repo, *given, "@acme/vision", "--owner", "@octocat")
    assert (done.code, "not verified" in done.err) == (0, False), done.err


def test_check_names_owners_that_can_be_none(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    settings = registry_repo / "registry.yaml"
    settings.write_text(re.sub(r"owners:.*(\n( *)- .*)*", "owners: ['@acme']", settings.read_text()))
    done = run_registry(registry_repo, "check", "--all")
    assert (done.code, "registry.yaml:1: wrong: owner @acme is an organization" in done.out) == (1, True), done.out


def test_what_github_cannot_say_of_owners_is_told(registry_repo: Path, run_registry: Run) -> None:
    done = run_registry(registry_repo, "init", "--name", "x", "--owner", "@acme", "--bucket", "b", "--lake", "l")
    assert (done.code, "note: not verified whether @acme can be a code owner" in done.err) == (0, True)


def test_apply_writes_the_plan(tmp_path) -> None:
    plan = init.plan(DictTree(FRESH), ANSWERS)
    init.apply(plan, tmp_path)
    assert {path: (tmp_path / path).read_bytes() for path in plan.files} == plan.files


def test_two_buckets_and_a_public_face() -> None:
    answers = init.Answers("birds", ("@a",), "s3://birds-staging/", "s3://birds", "lake", "https://data.birds.org/")
    plan = init.plan(DictTree(FRESH), answers)
    assert str(plan).splitlines()[-3:] == [
        ".dvc/config: staging .registry/staging → s3://birds-staging",
        ".dvc/config: production .registry/production → s3://birds",
        ".dvc/config: public none → https://data.birds.org",
    ]
    loaded = load(plan)
    assert (loaded.staging.url, loaded.production.url) == ("s3://birds-staging", "s3://birds")
    assert loaded.public == settings.Remote("https://data.birds.org", {"verify": "true"})
    later = init.Answers("birds", ("@a",), "s3://birds-staging", "s3://birds", "lake")
    assert str(init.plan(DictTree(plan.files), later, again=True)) == "nothing changes"


@pytest.mark.parametrize("url", ["s3://birds", "data.birds.org", "https://", "https://data.birds.org/?token=hush"])
def test_a_public_url_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="is not a public HTTP URL") as error:
        init.plan(DictTree(FRESH), init.Answers("birds", ("@a",), "s", "p", "l", url))
    assert "hush" not in str(error.value)


def test_one_place_cannot_be_both_staging_and_production() -> None:
    with pytest.raises(Refused, match="staging and production are both s3://birds"):
        init.plan(DictTree(FRESH), init.Answers("birds", ("@a",), "s3://birds", "s3://birds/", "l"))


def test_the_command_takes_one_bucket_or_two(registry_repo: Path, run_registry: Run) -> None:
    given = ("init", "--dry-run", "--name", "birds", "--owner", "@a", "--lake", "l")
    one = run_registry(registry_repo, *given, "--bucket", "s3://b", "--public", "https://b.org")
    assert ".dvc/config: staging .registry/staging → s3://b-staging\n" in one.out
    assert ".dvc/config: public none → https://b.org\n" in one.out
    two = run_registry(registry_repo, *given, "--staging", "s3://s", "--production", "s3://p")
    assert "production .registry/production → s3://p\n" in two.out
    for options, words in (
        ((), "--bucket is required"),
        (("--staging", "s3://s"), "--production is required"),
        (("--bucket", "b", "--staging", "s"), "use either --bucket, or --staging and --production"),
    ):
        done = run_registry(registry_repo, *given, *options)
        assert (done.code, words in done.err) == (1, True)


S3 = ("init", "--again", "--name", "x", "--owner", "@a", "--bucket", "s3://data", "--lake", "s3://images")


def test_endpoint_region_and_profile_are_written_as_dvc_reads_them(registry_repo: Path, run_registry: Run) -> None:
    done = run_registry(
        registry_repo, *S3, "--endpoint", "https://s3.acme.example/", "--region", "eu-central-1", "--profile", "someone"
    )
    assert done.code == 0, done.err
    read = Config(str(registry_repo / ".dvc"))["remote"]
    options = {"endpointurl": "https://s3.acme.example", "region": "eu-central-1", "profile": "someone"}
    for name in ("staging", "production"):
        assert read[name].items() >= {"url": f"s3://data-{name}", **options}.items()
    assert (read["staging"]["verify"], read["production"]["verify"]) == (False, True)
    assert b"someone" not in (registry_repo / ".dvc/config").read_bytes()
    assert git_in(registry_repo, "check-ignore", ".dvc/config.local") == ".dvc/config.local"


@pytest.mark.parametrize("endpoint", ["127.0.0.1:7480", "s3.acme.example", "https://key:hush@host", "ftp://host", ""])
def test_an_endpoint_that_is_no_address_changes_nothing(registry_repo: Path, run_registry: Run, endpoint: str) -> None:
    before = (registry_repo / ".dvc/config").read_bytes()
    done = run_registry(registry_repo, *S3, "--endpoint", endpoint)
    assert (done.code, "hush" in done.err) == (1, False)
    assert "endpoint" in done.err
    assert (registry_repo / ".dvc/config").read_bytes() == before
