"""Runs a model file with onnxruntime, on a GPU where it has one, and sees that the outputs are those of its task."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import onnxruntime

from registry.core import wording
from registry.core.model_values import FEATURES
from registry.model import model_file, onnx_form
from registry.model.model_file import ModelFile, ModelOutput
from registry.model.onnx_form import Fault

DIGITS = 1e-3  # by which the scores of an image may miss a sum of 1
GPU, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# TF32 rounds what a convolution reads to ten bits, which would cost more than the tolerance between machines.
GPU_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
_SOURCE = r"^/onnxruntime_src/\S+:\d+ .*?\) "  # a file of onnxruntime, its line and the signature of its function
NO_GPU = "onnxruntime offers CUDA, which cannot be used here; the model runs on the CPU"


@dataclass(frozen=True, slots=True)
class Runner:
    """A model in its session, with what it declares and the outputs that its task asks for."""

    session: onnxruntime.InferenceSession
    declared: ModelFile
    outputs: Sequence[ModelOutput]

    def try_out(self) -> int:
        """Run the model on one and on two made-up images; the number of features that it gives for an image, if any.

        Raises Fault where an output is not as declared.
        """
        size = self.declared.input.size
        noise = numpy.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=numpy.uint8)
        one, two = (self.run(noise[:count]) for count in (1, 2))
        for output, first, second in zip(self.outputs, one, two, strict=True):
            if first.shape[1:] != second.shape[1:]:
                shapes = f"{first.shape}, and for two {second.shape}"
                raise Fault(f"its {output.name} for one image have the shape {shapes}, expected as many for each image")
        self.require_repeatable(noise, two)
        self.require_independent(noise, two, 1)
        return sum(values.shape[1] for output, values in zip(self.outputs, one, strict=True) if output.name == FEATURES)

    def run(self, images: numpy.ndarray) -> list[numpy.ndarray]:
        """The outputs of a batch (N, S, S, 3), each (N, *axes). Raises Fault where they are not as its task asks."""
        try:
            made: list[numpy.ndarray] = self.session.run(
                [output.name for output in self.outputs], {model_file.IMAGES: images}
            )
        except Exception as error:
            raise failure(f"it fails on {wording.plural(len(images), 'image')}", error) from error
        for output, values in zip(self.outputs, made, strict=True):
            self._require(output, values, len(images))
        return made

    def _require(self, output: ModelOutput, values: numpy.ndarray, images: int) -> None:
        name, wanted = output.name, (images, *output.shape(len(self.declared.classes)))
        is_formed = len(values.shape) == len(wanted) and all(map(onnx_form.fits, values.shape, wanted))
        if not is_formed or values.dtype != numpy.float32:
            expected = f"({onnx_form.axes(*wanted)})"
            raise Fault(f"its {name} for {images} images have the shape {values.shape}, expected {expected}")
        rows = values.reshape(images, -1)
        if (odd := ~numpy.isfinite(rows).all(1)).any():
            raise Fault(f"its {name} are not finite numbers", int(odd.argmax()))
        if not output.sums_to_one:
            return
        odd = (rows < -DIGITS).any(1) | (abs(rows.sum(1, dtype=numpy.float64) - 1) > DIGITS)
        if odd.any():
            raise Fault(f"its {name} are not shares that sum to 1; add a softmax to the model", int(odd.argmax()))

    def require_repeatable(self, images: numpy.ndarray, made: Sequence[numpy.ndarray]) -> None:
        """Run a batch once more. Raises Fault where the model gives something else for it than before."""
        for output, before, after in zip(self.outputs, made, self.run(images), strict=True):
            if (odd := _far(output, before, after)).any():
                raise Fault(f"it gives other {output.name} when it runs on the same images again", int(odd.argmax()))

    def require_independent(self, images: numpy.ndarray, made: Sequence[numpy.ndarray], one: int) -> None:
        """Run one image of a batch alone. Raises Fault where the model gives something else than in the batch."""
        for output, together, alone in zip(self.outputs, made, self.run(images[one : one + 1]), strict=True):
            if _far(output, together[one : one + 1], alone).any():
                raise Fault(f"its {output.name} of an image depend on the other images of the batch", one)


def _far(output: ModelOutput, these: numpy.ndarray, those: numpy.ndarray) -> numpy.ndarray:
    """Which images (N,) have values that differ by more than the output's tolerance."""
    share = abs(these - those) / numpy.maximum(abs(these), 1)
    far: numpy.ndarray = share.reshape(len(these), -1).max(1) > output.tolerance
    return far


def open_runner(
    model: Path, threads: int, declared: ModelFile, outputs: Sequence[ModelOutput], remark: Callable[[str], None]
) -> tuple[Runner, int]:
    """The model on a GPU where it runs there, and what its trial gave; `remark` is told where it should and does not.

    Raises Fault where it cannot be loaded or is not what it declares.
    """
    if has_gpu():
        try:
            runner = Runner(open_session(model, threads, use_gpu=True), declared, outputs)
            if GPU in runner.session.get_providers():
                return runner, runner.try_out()
        except (Fault, MemoryError):
            pass  # the CPU tells whether the model is at fault
        remark(NO_GPU)
    runner = Runner(open_session(model, threads), declared, outputs)
    return runner, runner.try_out()


def has_gpu() -> bool:
    """Whether this onnxruntime was built for CUDA; whether there is a GPU shows when a session is made."""
    return GPU in onnxruntime.get_available_providers()


def open_session(model: Path, threads: int, *, use_gpu: bool = False) -> onnxruntime.InferenceSession:
    """The model on the CPU, or on a GPU as far as there is one. Raises Fault where it cannot be loaded.

    A sidecar is read in the place to which links lead: onnxruntime refuses one that leads out of the model's folder, as
    those of a cache do (1.32).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # By default its threads wait for work in a loop, and take the processors from those that decode images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [*([(GPU, GPU_OPTIONS)] if use_gpu else []), (CPU, {})]
    source: str | bytes = str(model)
    if (sidecar := model.with_name(model_file.SIDECAR)).is_file():
        weights = sidecar.resolve()
        source = onnx_form.relocate(model, weights.name)
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights.parent))
    try:
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:
        raise failure("onnxruntime cannot load it", error) from error


def failure(doing: str, error: Exception) -> Exception:
    """What an error of onnxruntime, whose classes have no common one, says without the paths of its sources."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "alloc" in text or "memory" in text.lower():
        return MemoryError()
    said = re.sub(r"^.*(?:failed:|Status Message: )", "", text)
    return Fault(f"{doing}: {re.sub(_SOURCE, '', said)[:300]}")
