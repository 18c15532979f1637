"""The page that says what changed: the report's sections, made once, and without images where none are shown."""

import html
import re
from pathlib import Path

import pytest

from registry.core.settings import CatalogImages
from support import pictured_catalogs, repositories
from support.accessibility import ACCESSIBLE, CONTRAST
from support.browser import Browser
from support.memory_registries import uuid
from support.repositories import Run


def page(out: Path, release: str) -> Path:
    [found] = (out / release / "changes").glob("*.html")
    return found


def test_a_dataset_has_what_changed_with_pictures_and_where_its_rows_are_from(tmp_path: Path) -> None:
    pictured_catalogs.made(40).write(tmp_path, CatalogImages.ALL)
    text = page(tmp_path, "datasets/pets/v1.1.0").read_text()
    assert "<p>8 images added</p>" in text
    assert text.count("data:image/webp") == 8
    assert "Added (8)" in text
    release = (tmp_path / "datasets/pets/v1.1.0/index.html").read_text()
    link = re.search(r'8 images added. <a href="([^"]+)">All changes</a>', release)
    assert link
    assert (tmp_path / "datasets/pets/v1.1.0" / link[1]).resolve() == page(tmp_path, "datasets/pets/v1.1.0")
    assert "8 images added</a>" in (tmp_path / "datasets/pets/index.html").read_text()


def test_without_images_no_picture_and_no_uuid_is_on_it(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(40)
    catalog.write(tmp_path, CatalogImages.NONE)
    text = page(tmp_path, "datasets/pets/v1.1.0").read_text()
    assert "8 images added" in text
    assert "image/webp" not in text
    assert uuid(0)[:13] not in text
    catalog.write(tmp_path, CatalogImages.SAMPLE)
    assert "image/webp" in page(tmp_path, "datasets/pets/v1.1.0").read_text()


def test_what_could_not_be_read_is_told_on_it_and_made_again_when_it_can(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(30)
    whole = {**catalog.objects}
    first = catalog.catalog.artifacts[0].releases[-1]
    assert first.version
    del catalog.objects[first.version.products[0].md5]
    catalog.write(tmp_path, CatalogImages.NONE)
    assert "Incomplete:" in page(tmp_path, "datasets/pets/v1.1.0").read_text()
    catalog.objects |= whole
    catalog.write(tmp_path, CatalogImages.NONE)
    assert "Incomplete:" not in page(tmp_path, "datasets/pets/v1.1.0").read_text()


def test_a_withdrawn_release_has_none_and_the_next_is_compared_with_the_one_before(tmp_path: Path) -> None:
    catalog = pictured_catalogs.made(30, 3)
    latest, middle, first = catalog.catalog.artifacts[0].releases
    withdrawn = pictured_catalogs.with_releases(catalog, (latest, pictured_catalogs.withdrawn(middle), first))
    withdrawn.write(tmp_path, CatalogImages.NONE)
    assert not (tmp_path / "datasets/pets/v1.1.0/changes").exists()
    assert "v1.0.0 → v1.2.0" in page(tmp_path, "datasets/pets/v1.2.0").read_text()


@pytest.fixture
def compared(released_model: Path, run_registry: Run, tmp_path: Path) -> Path:
    """The site of a registry with two releases of a model, of which the second has one more image wrong."""
    repositories.dataset(released_model, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.model(released_model, "pets", b"weights of 1.1.0", "1.1.0", wrong=1)
    repositories.merge(released_model, "a second release")
    assert run_registry(released_model, "publish").code == 0
    with (released_model / "registry.yaml").open("a") as settings:
        settings.write("catalog: {images: all}\n")
    assert run_registry(released_model, "catalog", "build", "--out", str(tmp_path / "site")).code == 0
    return tmp_path / "site"


def test_a_model_is_compared_by_recorded_predictions_on_images_that_both_have(compared: Path) -> None:
    text = page(compared, "models/pets/v1.1.0").read_text()
    assert "v1.0.0 → v1.1.0" in text
    headline = html.unescape(text.partition("</h1>\n<p>")[2].partition("</p>")[0])
    assert "1 shared test image" in headline
    assert "Confusion matri" in text
    assert "on the test images that both were measured on" in text
    assert "left out" not in text  # the base was not measured on the other one, and not trained on it either
    table = (compared / "models/pets/index.html").read_text()
    assert headline in html.unescape(table)
    assert "new, accuracy" in table


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 375])
def test_it_fits_can_be_read_and_logs_nothing(
    browser: Browser, axe: str, pictured: Path, width: int, theme: str
) -> None:
    opened = browser.open(page(pictured, "datasets/pets/v1.1.0").as_uri(), width, theme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate(CONTRAST) >= 4.5
    assert opened.errors == []
    assert opened.evaluate(f"{axe}\n{ACCESSIBLE}") == []


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    pictured_catalogs.made(40).write(out, CatalogImages.ALL)
    return out
