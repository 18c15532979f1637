"""The demo: three releases and a consumer, by the commands that a team runs, in a scratch registry."""

import hashlib
import shlex
import sys
from pathlib import Path

from registry.core import documents
from registry.core.escaping import one_line
from registry.core.layout import card_path, manifest_path
from registry.core.settings import Remote
from registry.core.values import ArtifactId, Kind
from registry.core.wording import plural
from registry.demo import backbone, pictures
from registry.demo.pictures import Album
from registry.demo.scene import Scene, chapter, say
from registry.errors import RegistryError
from registry.integrations import git
from registry.storage.open import open_store

MISLABELLED = 6  # pictures with a wrong label in the first release; the second release omits them
# What the programs of the story import: packages of the groups that `make demo` installs.
MODULES = ("datasets", "dvclive", "pre_commit_hooks", "safetensors", "torch")


def run_all(scene: Scene) -> None:
    """Run all chapters, in order."""
    for number, (title, act) in enumerate(CHAPTERS):
        chapter(number, title)
        act(scene)


def found_registry(scene: Scene) -> None:
    """A team makes a registry of its own in an empty folder."""
    places = f"--bucket {shlex.quote(scene.bucket)} --lake {shlex.quote(scene.lake)}"
    scene.run(f"registry init {scene.clone.name} --name acme-data --owner @acme/data {places}", cwd=scene.top)
    (scene.clone / ".venv").symlink_to(Path(sys.prefix))  # in place of what `make setup` installs
    pictures.fill_lake(scene.album, open_store(Remote(scene.lake), scene.top))
    say(f"the lake has {plural(len(scene.album.pictures), 'image')}, each under its UUID: {scene.lake}")
    for file in scene.album.left_out:
        say(f"  {one_line(file.source)}: {file.why}")
    scene.run(f"git init --quiet --bare --initial-branch=main {shlex.quote(str(scene.origin))}", cwd=scene.top)
    for key, value in (("user.name", "Ana Contributor"), ("user.email", "ana@example.com")):
        git.set_config(scene.clone, key, value)
    scene.run("registry hooks install")
    scene.commit("Our registry")
    scene.run(f"git remote add origin {shlex.quote(str(scene.origin))}")
    scene.run("git push --quiet --set-upstream origin main")


def first_dataset(scene: Scene) -> None:
    """Create a dataset from half of the images, with a few wrong labels."""
    half = scene.album.pictures[: len(scene.album.pictures) // 2]
    classes = scene.album.classes
    wrong = {picture.uuid: classes[classes.index(picture.label) - 1] for picture in half[:MISLABELLED]}
    pictures.export(half, wrong, scene.top / "exports" / "january.csv")
    scene.run(f"git switch --quiet --create {scene.album.name}-dataset")
    scene.run(f"registry new dataset {scene.album.name} --title {shlex.quote(scene.album.title)}")
    scene.edit(manifest_path(scene.dataset), _dataset_values(scene.album))
    scene.limit_use(scene.dataset)
    scene.run(f"registry select {scene.dataset} --from {shlex.quote(str(scene.top / 'exports' / 'january.csv'))}")
    build(scene)
    scene.run("registry check --fix")
    scene.commit(f"Add {scene.dataset}")
    scene.push(f"{scene.album.name}-dataset")
    scene.merge(f"{scene.album.name}-dataset")


def _dataset_values(album: Album) -> dict[documents.Location, object]:
    column = "images.{}".format
    return {
        ("description",): album.description,
        ("license",): album.license,
        ("source",): {"export": {"description": "Monthly CSV export from Looker", "timezone": "UTC"}},
        ("image",): album.image,
        ("columns", "camera"): {"from": column("camera"), "type": "string"},
        ("columns", "captured_at"): {"from": column("captured_at"), "type": "datetime"},
        ("classes",): list(album.classes),
        ("split", "group_by"): "camera",
        ("expectations",): {"min_images": len(album.pictures) // 4, "min_per_class": 2},
    }


def build(scene: Scene) -> None:
    """Build the dataset, without damaged images."""
    try:
        scene.run(f"registry build {scene.dataset}")
        why = "The images were copied server-side and not validated." if "://" in scene.lake else ""
    except RegistryError:
        why = "The build fails on images that cannot be used for training."
    if why:
        say(f"\n{why} The next build excludes faulty images, each with a reason:")
        scene.run(f"registry build {scene.dataset} --exclude-faulty")
        _name_excluded(scene)
    scene.run(f"registry pull {scene.dataset}")


def _name_excluded(scene: Scene) -> None:
    """Print the reason of each excluded image beside the file that it was made of."""
    manifest = documents.read_yaml((scene.clone / manifest_path(scene.dataset)).read_bytes(), "dataset.yaml").data
    sources = {picture.uuid: picture.source for picture in scene.album.pictures}
    for uuid, reason in sorted(manifest.get("exclude", {}).items(), key=lambda item: sources[item[0]]):
        say(f"  {one_line(sources[uuid])}: {reason}")


def first_model(scene: Scene) -> None:
    """Train a VGG on the dataset."""
    name = scene.album.name
    scene.run(f"git switch --quiet --create {name}-model")
    scene.run(f"registry new model {name} --title {shlex.quote(f'{scene.album.title}: classifier')}")
    scene.edit(manifest_path(scene.model), _model_values(scene.album))
    scene.limit_use(scene.model)
    scene.edit(f"{scene.model}/params.yaml", {("architecture",): "vgg", **scene.album.params})
    scene.train("1.0.0")
    scene.run(f"dvc metrics show {scene.model}/metrics.json")
    scene.run("registry check --fix")
    scene.commit(f"Add {scene.model}: VGG")
    scene.push(f"{name}-model")
    scene.merge(f"{name}-model")


def _model_values(album: Album) -> dict[documents.Location, object]:
    # Half of the accuracy of guessing: pictures of a user may be difficult, and the demo is not about accuracy.
    least = round(0.5 / len(album.classes), 2)
    return {
        ("description",): f"Classifies images into {', '.join(album.classes)}.",
        ("license",): "Apache-2.0",
        ("intended_use",): "The demo only.",
        ("gates",): [{"metric": "accuracy", "min": least}],
    }


def first_release(scene: Scene) -> None:
    """Publish main: objects to production, then tags."""
    scene.run("registry publish --dry-run")
    scene.run("registry publish")
    scene.run("registry list")
    scene.hashes = hash_files(scene)
    scene.metrics = read_metrics(scene)


def hash_files(scene: Scene) -> dict[str, str]:
    """SHA-256 of every file of the dataset's images and of the model file, by path."""
    images = (scene.clone / str(scene.dataset) / "prepared").rglob("*.*")
    files = sorted([*images, scene.clone / str(scene.model) / "model.onnx"])
    return {str(file.relative_to(scene.clone)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def read_metrics(scene: Scene) -> dict[str, object]:
    """The model's metrics in the working tree."""
    path = f"{scene.model}/metrics.json"
    metrics: dict[str, object] = documents.read_json((scene.clone / path).read_bytes(), path)
    return metrics


def second_release(scene: Scene) -> None:
    """Twice the images without the wrong labels, and a ResNet instead of the VGG."""
    wrong = {picture.uuid for picture in scene.album.pictures[:MISLABELLED]}
    kept = tuple(picture for picture in scene.album.pictures if picture.uuid not in wrong)
    pictures.export(kept, {}, scene.top / "exports" / "february.csv")
    scene.run(f"git switch --quiet --create {scene.album.name}-v2")
    scene.run(f"registry select {scene.dataset} --from {shlex.quote(str(scene.top / 'exports' / 'february.csv'))}")
    build(scene)
    say("\nThe version is still 1.0.0. The check reports what changed and which version that requires:")
    scene.run("registry check", fails=True)
    scene.edit(manifest_path(scene.dataset), {("version",): "2.0.0"})
    scene.edit(manifest_path(scene.model), {("version",): "2.0.0"})
    scene.edit(f"{scene.model}/params.yaml", {("architecture",): "resnet"})
    scene.train("2.0.0")
    scene.run(f"dvc metrics diff {scene.model}@v1.0.0 --md --targets {scene.model}/metrics.json")
    scene.run(f"dvc params diff {scene.model}@v1.0.0 --md")
    scene.run("registry check --fix")
    scene.commit("Twice the images, without the mislabelled ones; ResNet")
    scene.push(f"{scene.album.name}-v2")
    say("\nThe report that CI posts to the pull request, and the state of the gate:")
    scene.run(f"registry diff main HEAD {scene.dataset}")
    scene.run(f"registry report --base main --out {shlex.quote(str(scene.report))}")
    scene.merge(f"{scene.album.name}-v2")
    scene.run("registry publish")
    scene.run("registry list")


def back_in_time(scene: Scene) -> None:
    """Restore the first release byte for byte, and reproduce its metrics."""
    scene.run(f"git checkout --quiet {scene.model}@v1.0.0")
    scene.run("dvc checkout --quiet")
    if hash_files(scene) != scene.hashes:
        raise RegistryError(
            "the files of the first release differ from those that were released", fix="report this as a bug"
        )
    say(f"{plural(len(scene.hashes), 'file')} identical to v1.0.0 (compared by SHA-256)")
    scene.run(f"dvc repro --force --no-run-cache {scene.model}/dvc.yaml")
    if read_metrics(scene) != scene.metrics:
        raise RegistryError(
            f"the metrics of v1.0.0 were not reproduced: {read_metrics(scene)}, expected {scene.metrics}",
            fix="report this as a bug",
        )
    say(f"trained again, v1.0.0 has the same metrics: accuracy {scene.metrics['accuracy']}")
    scene.run("git checkout --quiet --force main")
    scene.run("dvc checkout --quiet")


def third_release(scene: Scene) -> None:
    """The features of a network that is not trained further, and a head on them."""
    name, before = scene.album.name, read_metrics(scene)
    network = (scene.clone / str(scene.model) / "model.onnx").read_bytes()
    given = scene.backbone or backbone.of_network(network, f"{scene.model}@v2.0.0")
    file = scene.top / "backbone.onnx"
    file.write_bytes(given.data)
    scene.run(f"git switch --quiet --create {name}-v3")
    scene.run(f"registry evaluate {shlex.quote(str(file))} --task features")
    texts = {"--origin": given.origin, "--title": given.title, "--description": given.description,
             "--license": "LicenseRef-unknown", "--intended-use": "The demo only."}  # fmt: skip
    told = " ".join(f"{option} {shlex.quote(text)}" for option, text in texts.items())
    scene.run(f"registry new model backbone --from {shlex.quote(str(file))} --task features {told}")
    scene.limit_use(ArtifactId(Kind.MODEL, "backbone"))
    say("\nThe model keeps its id and its releases; its code is replaced by that of the template `transfer`:")
    scene.run(f"git rm --quiet -r {scene.model}")
    scene.run(f"rm -rf {scene.model}")
    title = shlex.quote(f"{scene.album.title}: classifier")
    scene.run(f"registry new model {name} --template transfer --builds-on models/backbone --title {title}")
    scene.edit(manifest_path(scene.model), {("version",): "3.0.0", **_model_values(scene.album)})
    scene.limit_use(scene.model)
    scene.train("3.0.0")
    scene.run("registry check --fix")
    scene.commit("A head on features")
    scene.push(f"{name}-v3")
    scene.run(f"registry report --base main --out {shlex.quote(str(scene.last_report))}")
    scene.merge(f"{name}-v3")
    scene.run("registry publish")
    scene.run("registry list")
    scene.run(f"registry catalog build --out {shlex.quote(str(scene.top / 'catalog'))}")
    _compare(scene, before, read_metrics(scene), given.title)


def _compare(scene: Scene, before: dict[str, object], after: dict[str, object], features: str) -> None:
    """Print what the judge measured of the second and the third release, on the same test images."""
    say(f"\nmeasured by `registry evaluate` on the same {after['images']} test images:")
    for version, how, metrics in (
        ("2.0.0", "ResNet, trained from scratch", before),
        ("3.0.0", f"a head on «{features}»", after),
    ):
        say(f"  v{version}  accuracy {metrics['accuracy']}  in {scene.seconds[version]:.0f} s  ({how})")


def consume(scene: Scene) -> None:
    """Another team downloads the releases with nothing but the Git URL."""
    folder = scene.top / "consumer"
    folder.mkdir()
    url = shlex.quote(str(scene.origin))
    scene.run(f"dvc artifacts get {url} {scene.dataset} --rev v1.0.0 --out v1", cwd=folder)
    scene.run(f"dvc get {url} {scene.dataset}/prepared/test --rev {scene.dataset}@v2.0.0 --out v2-test", cwd=folder)
    scene.run(f"dvc artifacts get {url} {scene.model} --out model.onnx", cwd=folder)
    for command in ("git init --quiet", "dvc init --quiet"):
        scene.run(command, cwd=folder)
    scene.run(f"dvc import {url} {scene.dataset}/prepared --rev {scene.dataset}@v2.0.0 --out images", cwd=folder)
    read = (
        "import dvc.api, io, polars, sys; "
        "data = dvc.api.read(sys.argv[1], repo=sys.argv[2], rev=sys.argv[3], mode='rb'); "
        "print(polars.read_parquet(io.BytesIO(data))['label_name'].value_counts(sort=True))"
    )
    table = f"{scene.dataset}/prepared/test/metadata.parquet"
    scene.run(f"python -c {shlex.quote(read)} {table} {url} {scene.dataset}@v2.0.0", cwd=folder)
    layout = "import datasets; print(datasets.load_dataset('imagefolder', data_dir='images')['test'])"
    scene.run(
        f"env HF_HUB_OFFLINE=1 HF_DATASETS_CACHE={shlex.quote(str(folder / 'cache'))} python -c {shlex.quote(layout)}",
        cwd=folder,
    )


def what_next(scene: Scene) -> None:
    """List what the demo made."""
    say(f"""
contributor's clone       {scene.clone}
remote (as on GitHub)     {scene.origin}
staging and production    {scene.bucket}
lake                      {scene.lake}
consumer's folder         {scene.top / "consumer"}
card of the dataset       {scene.clone / card_path(scene.dataset)}
report of release 2.0.0   {scene.report / "report.html"}
report of release 3.0.0   {scene.last_report / "report.html"}
catalog of all releases   {scene.top / "catalog" / "index.html"}

Try next, in the clone (after `. .venv/bin/activate`):
  registry show {scene.model}
  registry where {scene.album.pictures[-1].uuid}
  dvc plots diff {scene.model}@v1.0.0
  change a label in {scene.top / "exports" / "february.csv"}, then
  registry select {scene.dataset} --from {scene.top / "exports" / "february.csv"}
""")


CHAPTERS = (
    ("A registry of its own", found_registry),
    ("A dataset from a selection", first_dataset),
    ("A model", first_model),
    ("The first release", first_release),
    ("The second release: more images, corrected labels, another architecture", second_release),
    ("The first release restored and reproduced", back_in_time),
    ("The third release: a head on the features of a network that is not trained further", third_release),
    ("A consumer with nothing but the Git URL", consume),
    ("What the demo made", what_next),
)
