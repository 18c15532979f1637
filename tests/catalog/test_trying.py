"""A model on its page in a browser, against the judge; and what a site has of models and of onnxruntime-web."""

import io
import random
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256, sha512
from pathlib import Path

import numpy
import onnxruntime
import pytest
import yaml
from PIL import Image

from registry.catalog import browser_runtime, trying
from registry.catalog.folder import Folder
from registry.core.erasures import Erased, digest_of_object
from registry.errors import InvalidData, NotFound, RegistryError
from registry.model import input_images
from registry.model.model_file import TOLERANCE, Crop, Filter, ImageInput
from support import model_files, repositories, tried_models
from support.accessibility import ACCESSIBLE, CONTRAST
from support.browser import Browser, Page
from support.repositories import Run
from support.servers import static_files
from support.servers.static_files import StaticFiles
from support.tried_models import CLASSES, PAGE

INPUTS = (
    *(ImageInput(24, filter=one) for one in Filter),
    *(ImageInput(24, Crop.PAD), ImageInput(24, Crop.STRETCH), ImageInput(24, fraction=0.875)),
)
MODELS = tuple(tried_models.looking(given) for given in INPUTS)
SAID = "document.querySelector('[data-said]').textContent"
TOLD = f"""
new Promise(done => {{
  const said = document.querySelector("[data-said]"), look = () => said.textContent && !said.textContent.endsWith("…");
  const watching = new MutationObserver(() => {{ if (look()) {{ watching.disconnect(); done({SAID}); }} }});
  watching.observe(said, {{childList: true}});
}})
"""
SCORES = (
    "[...document.querySelectorAll('.try tbody tr')].map(row => [row.cells[0].textContent,"
    " Number(row.querySelector('rect').getAttribute('width')) / 100])"
)
PIXELS = (
    "(one => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data])"
    "(document.querySelector('.try canvas'))"
)


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, warnings = tmp_path_factory.mktemp("site"), list[str]()
    tried_models.made(*MODELS, stages={at: f"s{at}" for at in range(len(MODELS))}).write(
        out, tried_models.runtime(), warnings
    )
    assert warnings == []
    return out


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[StaticFiles]:
    with static_files.serving(site) as server:
        yield server


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of every kind that the judge knows: sizes, modes, formats, turned, with and without transparency."""
    folder = tmp_path_factory.mktemp("pictures")
    turned = Image.Exif()
    turned[0x112] = 6
    _picture(90, 61).save(folder / "wide.png")
    _picture(40, 77).save(folder / "tall.webp", quality=90)
    _picture(13, 17).save(folder / "small.png")
    _picture(43, 36).save(folder / "photo.jpg", quality=92)
    _picture(43, 36).save(folder / "turned.jpg", quality=92, exif=turned)
    _picture(41, 37).convert("L").save(folder / "grey.png")
    Image.fromarray(numpy.asarray(_picture(41, 37).convert("L")).astype(numpy.uint16) * 257).save(folder / "deep.png")
    clear = _picture(41, 37)
    clear.putalpha(_picture(41, 37).convert("L").rotate(180))
    clear.save(folder / "clear.png")
    return folder


def _picture(width: int, height: int) -> Image.Image:
    rows = numpy.random.default_rng(width).integers(0, 256, (height // 4, width // 4, 3), dtype=numpy.uint8)
    return Image.fromarray(rows).resize((width, height), Image.Resampling.BICUBIC)


def try_out(page: Page, picture: Path) -> str:
    """Choose a picture; what the page says of it in the end."""
    page.evaluate(f"window.told = {TOLD}; 0")
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    chooser = page.call("DOM.querySelector", nodeId=root, selector=".try input")["nodeId"]
    page.call("DOM.setFileInputFiles", files=[str(picture)], nodeId=chooser)
    said = page.evaluate("told")
    assert isinstance(said, str)
    return said


@pytest.mark.parametrize("at", range(len(INPUTS)), ids=[f"{one.crop} {one.fraction} {one.filter}" for one in INPUTS])
def test_it_sees_and_says_what_the_judge_does(browser: Browser, server: StaticFiles, pictures: Path, at: int) -> None:
    page = browser.open(f"{server.url}/{PAGE.format(at)}", 1100, "light")
    session, given = onnxruntime.InferenceSession(MODELS[at]), INPUTS[at]
    for picture in sorted(pictures.iterdir()):
        said = try_out(page, picture)
        pixels = input_images.decode(picture, given)
        seen = numpy.array(page.evaluate(PIXELS)).reshape(given.size, given.size, 4)[..., :3]
        assert abs(seen - pixels.astype(int)).max() <= 1, picture.name
        scores = dict(zip(CLASSES, session.run(["scores"], {"images": pixels[None]})[0][0].tolist(), strict=True))
        shown = page.evaluate(SCORES)
        assert [name for name, _ in shown] == sorted(CLASSES, key=lambda name: -scores[name]), picture.name
        assert dict(shown) == pytest.approx(scores, abs=TOLERANCE), picture.name
        assert said == f"{shown[0][0]}, {100 * shown[0][1]:.1f} %"
    assert page.errors == []


def test_a_large_photograph_is_near_what_the_judge_sees(browser: Browser, server: StaticFiles, tmp_path: Path) -> None:
    """Pillow skips detail of a JPEG that scaling would throw away, which a browser does not."""
    _picture(1200, 900).save(tmp_path / "large.jpg", quality=92)
    page = browser.open(f"{server.url}/{PAGE.format(len(INPUTS) - 1)}", 1100, "light")
    try_out(page, tmp_path / "large.jpg")
    pixels = input_images.decode(tmp_path / "large.jpg", INPUTS[-1])
    [scores] = onnxruntime.InferenceSession(MODELS[-1]).run(["scores"], {"images": pixels[None]})[0].tolist()
    assert dict(page.evaluate(SCORES)) == pytest.approx(dict(zip(CLASSES, scores, strict=True)), abs=0.01)


def test_what_cannot_be_run_is_told_and_the_next_picture_works(
    browser: Browser, site: Path, pictures: Path, tmp_path: Path
) -> None:
    [model] = (site / PAGE.format(0)).parent.glob("try/*.onnx")
    (tmp_path / "notes.png").write_bytes(b"no picture")
    with static_files.serving(site) as server:
        page = browser.open(f"{server.url}/{PAGE.format(0)}", 1100, "light")
        assert try_out(page, tmp_path / "notes.png") == "notes.png is no picture that this browser can read."
        assert not any(path.endswith((".onnx", ".wasm")) for path in server.paths)  # they are loaded when they are run
        model.rename(tmp_path / "away")
        try:
            assert try_out(page, pictures / "small.png").startswith("The model could not be run: ")
        finally:
            (tmp_path / "away").rename(model)
        assert try_out(page, pictures / "wide.png").endswith(" %")


def test_pictures_that_are_dropped_at_once_are_run_one_after_the_other(
    browser: Browser, server: StaticFiles, pictures: Path
) -> None:
    page = browser.open(f"{server.url}/{PAGE.format(2)}", 1100, "light")
    last = try_out(page, pictures / "tall.webp")
    page.evaluate(
        """
        window.all = new Promise(done => {
          const said = document.querySelector("[data-said]"), found = [];
          new MutationObserver(() => {
            if (!said.textContent.endsWith("…")) found.push(said.textContent);
            if (found.length === 3) done(found);
          }).observe(said, {childList: true});
        });
        const drop = file => {
          const data = new DataTransfer();
          data.items.add(file);
          document.querySelector(".try").dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
        };
        const chosen = document.querySelector(".try input").files[0];
        drop(chosen); drop(new File(["none"], "none.png")); drop(chosen);
        """
    )
    assert page.evaluate("all") == [last, "none.png is no picture that this browser can read.", last]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 375])
def test_it_fits_and_can_be_read(
    browser: Browser, axe: str, server: StaticFiles, pictures: Path, width: int, theme: str
) -> None:
    page = browser.open(f"{server.url}/{PAGE.format(2)}", width, theme)
    try_out(page, pictures / "wide.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) >= 4.5
    assert page.evaluate(f"{axe}\n{ACCESSIBLE}") == []


def test_from_a_folder_it_says_that_a_server_is_needed(browser: Browser, site: Path) -> None:
    page = browser.open((site / PAGE.format(0)).as_uri(), 1100, "light")
    assert page.evaluate(SAID).startswith("Not from a folder, where browsers load no model")
    assert page.evaluate("document.querySelector('.try form').offsetHeight") == 0
    assert page.errors == []


# --- what a site has --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files that are taken for onnxruntime-web's, and the archive that npm would have of them."""
    folder, archive = tmp_path / "dist", io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for name in browser_runtime.FILES:
            repositories.write_bytes(folder / name, name.encode())
            packed.add(folder / name, f"package/dist/{name}")
    sums = {name: sha256(name.encode()).hexdigest() for name in browser_runtime.FILES}
    monkeypatch.setattr(browser_runtime, "FILES", sums)
    monkeypatch.setattr(browser_runtime, "INTEGRITY", b64encode(sha512(archive.getvalue()).digest()).decode())
    repositories.write_bytes(tmp_path / "npm" / browser_runtime.ARCHIVE, archive.getvalue())
    return folder


def found(out: Path) -> list[str]:
    tried = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    return sorted(path.as_posix() for path in tried if path.parent.name == "try" or path.parts[0].startswith("onnx"))


def test_the_latest_release_and_those_in_a_stage_are_there(small_runtime: Path, tmp_path: Path) -> None:
    models, out, warnings = tried_models.made(*MODELS[:3], stages={0: "prod"}), tmp_path / "site", list[str]()
    models.write(out, small_runtime, warnings)
    there = found(out)
    assert [path.split("/")[2] for path in there if path.endswith(".onnx")] == ["v1.0.0", "v1.2.0"]
    for path in there:
        if path.endswith(".onnx"):
            assert repositories.md5((out / path).read_bytes()) == Path(path).stem
    assert [path for path in there if path.startswith("onnx")] == sorted(
        f"{browser_runtime.FOLDER}/{name}" for name in browser_runtime.FILES
    )
    assert (models.write(out, tmp_path / "none", warnings).written, warnings) == (0, [])
    fewer = tried_models.made(*MODELS[:2], stages={1: "prod"})
    fewer.write(out, small_runtime, warnings)
    assert {path.split("/")[2] for path in found(out) if path.startswith("models")} == {"v1.1.0"}
    policy = "script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'\">"
    assert policy in (out / PAGE.format(1)).read_text()
    others = [path.read_text() for path in out.rglob("*.html") if path != out / PAGE.format(1)]
    assert [page for page in others if "wasm" in page or "connect-src" in page] == []


def test_a_model_that_is_too_large_erased_or_not_to_be_read_is_told(
    small_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, warnings = tried_models.made(MODELS[0]), list[str]()
    md5 = repositories.md5(MODELS[0])
    erased = Erased(frozenset(), frozenset({digest_of_object(md5)}))
    models.write(tmp_path / "erased", small_runtime, warnings, erased)
    assert "Not on this page: its file was erased." in (tmp_path / "erased" / PAGE.format(0)).read_text()
    monkeypatch.setattr(trying, "MAX_BYTES", len(MODELS[0]) - 1)
    models.write(tmp_path / "large", small_runtime, warnings)
    assert "and a site has none above" in (tmp_path / "large" / PAGE.format(0)).read_text()
    monkeypatch.undo()
    assert warnings == []
    del models.objects[md5]
    models.write(tmp_path / "gone", small_runtime, warnings)
    [warning] = warnings
    assert warning.startswith("models/pets@v1.0.0 cannot be tried on its page: no intact copy")
    assert [found(tmp_path / name) for name in ("erased", "large", "gone")] == [[], [], []]


def test_an_erased_model_leaves_the_site(small_runtime: Path, tmp_path: Path) -> None:
    models, out = tried_models.made(MODELS[0]), tmp_path / "site"
    models.write(out, small_runtime, [])
    assert len(found(out)) == 3
    models.write(
        out, small_runtime, [], Erased(frozenset(), frozenset({digest_of_object(repositories.md5(MODELS[0]))}))
    )
    assert found(out) == []


def test_a_file_that_is_no_model_is_told_and_leaves_nothing(small_runtime: Path, tmp_path: Path) -> None:
    warnings = list[str]()
    tried_models.made(b"no model").write(tmp_path / "site", small_runtime, warnings)
    assert len(warnings) == 1
    assert found(tmp_path / "site") == []


def test_the_command_does_as_registry_yaml_says(
    released_model: Path, run_registry: Run, small_runtime: Path, tmp_path: Path
) -> None:
    build = ("catalog", "build", "--out", str(tmp_path / "site"), "--onnxruntime-web", str(small_runtime))
    assert run_registry(released_model, *build).code == 0
    assert found(tmp_path / "site") == []
    settings = released_model / "registry.yaml"
    settings.write_text(settings.read_text() + "catalog: {try_it: true}\n")
    done = run_registry(released_model, *build)
    assert (done.code, done.err) == (0, "")
    [model, *_] = [path for path in found(tmp_path / "site") if path.endswith(".onnx")]
    lock = yaml.safe_load((released_model / "models/pets/dvc.lock").read_text())
    assert Path(model).stem in [out["md5"] for out in lock["stages"]["train"]["outs"]]


# --- where onnxruntime-web is from ------------------------------------------------------------------------------------


def test_it_comes_from_npm_once(small_runtime: Path, tmp_path: Path) -> None:
    site = Folder(tmp_path / "site", "")
    with static_files.serving(tmp_path / "npm") as npm:
        for _ in range(2):
            browser_runtime.prepare(site, registry=npm.url)
        assert npm.paths == [f"/{browser_runtime.ARCHIVE}"]
        paths = {name: site.root / browser_runtime.FOLDER / name for name in browser_runtime.FILES}
        assert [path.read_bytes().decode() for path in paths.values()] == [*paths]
        for name, path in paths.items():
            path.write_bytes(b"changed")
            browser_runtime.prepare(site, registry=npm.url)
            assert path.read_bytes() == (small_runtime / name).read_bytes()


def test_another_archive_and_half_of_one_are_refused(small_runtime: Path, tmp_path: Path) -> None:
    archive = tmp_path / "npm" / browser_runtime.ARCHIVE
    with static_files.serving(tmp_path / "npm") as npm:
        for data in (archive.read_bytes()[:-9], random.Random(0).randbytes(99)):
            archive.write_bytes(data)
            with pytest.raises(InvalidData, match="checksum mismatch: content does not match its SHA-512"):
                browser_runtime.prepare(Folder(tmp_path / "site", ""), registry=npm.url)
        archive.unlink()
        with pytest.raises(RegistryError):
            browser_runtime.prepare(Folder(tmp_path / "site", ""), registry=npm.url)
    assert not (tmp_path / "site").exists()


def test_a_folder_without_it_or_with_another_is_refused(small_runtime: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"expected the folder `dist` of onnxruntime-web"):
        browser_runtime.prepare(Folder(tmp_path / "site", ""), tmp_path)
    next(small_runtime.iterdir()).write_bytes(b"another version")
    with pytest.raises(InvalidData, match="checksum mismatch"):
        browser_runtime.prepare(Folder(tmp_path / "site", ""), small_runtime)
    assert not (tmp_path / "site").exists()


def test_without_it_the_site_is_built_and_says_nothing_of_trying(small_runtime: Path, tmp_path: Path) -> None:
    warnings = list[str]()
    tried_models.made(model_files.threshold(128)).write(tmp_path / "site", tmp_path, warnings)
    [warning] = warnings
    assert warning.startswith("models cannot be tried on their pages: ")
    assert "Try it" not in (tmp_path / "site" / PAGE.format(0)).read_text()
    assert found(tmp_path / "site") == []
