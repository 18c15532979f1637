"""The training of the template: how much of the network's own speed it reaches, and two versions of it compared.

The network alone runs on tensors that lie on the device: forward, backward and optimizer step, with the precision and
the batches of the training. An epoch adds order, augmentation, schedule and sums; the whole training also starts
Python, reads and decodes the images, validates and writes the model. On a GPU where there is one; on the CPU, seconds
are those of the processor.

python benchmarks/training.py [--images 2000] [--side 640] [--epochs 15] [--rounds 3] [--against REVISION] [NAME=VALUE]

NAME=VALUE sets a parameter of params.yaml. With --against, the whole training of the template at REVISION of this
repository alternates with today's.
"""

import argparse
import io
import math
import os
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy
import torch
import yaml
from PIL import Image
from torch.nn.functional import cross_entropy

ROOT = Path(__file__).parents[1]
TEMPLATE = "scripts/registry/scaffold/templates/model"
CLASSES = ("cat", "dog")


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--side", type=int, default=640, help="pixels of the longer side of an image file")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", metavar="REVISION")
    parser.add_argument("params", nargs="*", metavar="NAME=VALUE")
    args = parser.parse_args()
    changes = {
        "epochs": args.epochs,
        **dict(yaml.safe_load(one.replace("=", ": ", 1)).popitem() for one in args.params),
    }
    with TemporaryDirectory(prefix="registry-benchmark-") as name:
        folder = Path(name)
        make_images(folder / "data", args.images, args.side)
        versions = {"today": unpack(folder / "today", None, changes)}
        if args.against:
            versions[args.against] = unpack(folder / "before", args.against, changes)
        whole = {what: list[tuple[float, float]]() for what in versions}
        speeds = Speeds(folder / "today", folder / "data")
        for _ in range(args.rounds):
            speeds.measure()
            for what, place in versions.items():
                whole[what].append(train(place, folder / "data"))
        print_speeds(speeds, args.images * args.epochs, whole["today"])
        print_versions(whole)


class Speeds:
    """Images per second of the network alone and of an epoch, each round's."""

    def __init__(self, template: Path, data: Path) -> None:
        code = load(template)
        self.code, self.params = code, code.train.read_params(template / "params.yaml")
        self.place = code.devices.find_place()
        images = code.data.open_images(data, from_shards=False)["train"]
        share = code.data.decode_split("train", images, self.params.image_size, self.place)
        self.split = code.data.load_split("train", images, share, list(CLASSES), self.place)
        network = code.network.build(self.params.architecture, len(CLASSES), self.params.width)
        network = code.devices.move(network, self.place)
        self.network = code.devices.for_training(network, self.place, compiled=self.params.compile).train()
        self.optimizer = torch.optim.AdamW(network.parameters(), 1e-6, fused=self.place.has_gpu)
        count = math.ceil(len(self.split.images) / self.params.batch_size)
        order = torch.randperm(len(self.split.images), device=self.split.images.device).tensor_split(count)
        device = self.place.device
        self.lying = [(self.split.images[rows].to(device), self.split.targets[rows].to(device)) for rows in order]
        self.alone, self.epoch = list[float](), list[float]()
        self._seconds(self._network_alone)  # cuDNN chooses, the compiler compiles

    def measure(self) -> None:
        """One round of each."""
        images = len(self.split.images)
        self.alone.append(images / self._seconds(self._network_alone))
        self.epoch.append(images / self._seconds(self._an_epoch))

    def _seconds(self, work: Callable[[], None]) -> float:
        clock = time.perf_counter if self.place.has_gpu else time.process_time
        self._wait()
        begun = clock()
        work()
        self._wait()
        return clock() - begun

    def _wait(self) -> None:
        if self.place.has_gpu:
            torch.cuda.synchronize()

    def _network_alone(self) -> None:
        for images, targets in self.lying:
            with self.code.devices.half_precision(self.place):
                loss = cross_entropy(self.network(images), targets)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    def _an_epoch(self) -> None:
        schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 1e-6, total_steps=len(self.lying))
        size, seed, flip = self.params.batch_size, self.params.seed, self.params.flip
        sums = []
        for batch in self.code.data.training_batches(self.split, size, seed, 1, self.place, flip=flip):
            sums.append(self.code.train.take_step(self.network, self.optimizer, batch, self.place))
            schedule.step()
        torch.stack(sums).double().sum(0).tolist()


def train(template: Path, data: Path) -> tuple[float, float]:
    """Seconds, and seconds of the processors, of `python train.py`, started as DVC starts it."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "train.py", "--data", str(data)], cwd=template, check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, cpu


def print_speeds(speeds: Speeds, images: int, whole: list[tuple[float, float]]) -> None:
    """Images per second, and what part that is of the network's own speed."""
    alone = statistics.median(speeds.alone)
    rows = {
        "network alone": alone,
        "an epoch": statistics.median(speeds.epoch),
        "the whole training": images / statistics.median(wall if speeds.place.has_gpu else cpu for wall, cpu in whole),
    }
    device = torch.cuda.get_device_name() if speeds.place.has_gpu else "CPU, one thread"
    print(f"{device}\n\n| what | images per second | of the network alone |\n|---|---|---|")
    for what, speed in rows.items():
        print(f"| {what} | {speed:,.0f} | {speed / alone:.2f} |")


def print_versions(whole: Mapping[str, list[tuple[float, float]]]) -> None:
    """Seconds of whole trainings, and the ratio to the last version."""
    middle = {what: tuple(map(statistics.median, zip(*times, strict=True))) for what, times in whole.items()}
    wall, cpu = list(middle.values())[-1]
    print("\n| training | seconds | ratio | CPU seconds | ratio |\n|---|---|---|---|---|")
    for what, (one, other) in middle.items():
        print(f"| {what} | {one:.1f} | {one / wall:.2f} | {other:.1f} | {other / cpu:.2f} |")


# --- what is measured -------------------------------------------------------------------------------------------------


def make_images(data: Path, count: int, side: int) -> None:
    """Photographs of 4 to 3, evenly over the classes: `count` to train on, a tenth of it to validate, and one test."""
    noise = numpy.random.default_rng(0)
    for split, images in (("train", count), ("val", count // 10), ("test", 1)):
        for number in range(images):
            rough = Image.fromarray(noise.integers(0, 256, (12, 16, 3), dtype=numpy.uint8))
            path = data / split / CLASSES[number % len(CLASSES)] / f"{number:08}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            rough.resize((side, side * 3 // 4), Image.Resampling.BICUBIC).save(path, quality=88)


def unpack(folder: Path, revision: str | None, changes: Mapping[str, object]) -> Path:
    """The template of a revision (None: as it lies here), with other parameters, of those that it has."""
    folder.mkdir()
    if revision is None:
        files = {path.name: path.read_bytes() for path in (ROOT / TEMPLATE).iterdir() if path.is_file()}
    else:
        packed = subprocess.run(["git", "archive", f"{revision}:{TEMPLATE}"], cwd=ROOT, check=True, capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            files = {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}  # type: ignore[union-attr]
    for name, data in files.items():
        (folder / name).write_bytes(data)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params |= {name: value for name, value in changes.items() if name in params}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def load(template: Path) -> SimpleNamespace:
    """The template's modules, as train.py imports them."""
    sys.path.insert(0, str(template))
    return SimpleNamespace(**{name: __import__(name) for name in ("data", "devices", "network", "train")})


if __name__ == "__main__":
    main()
