"""The network architectures, two families of any width, and the files of a trained network."""

import io
import warnings
from pathlib import Path

import onnx
import torch
from safetensors.torch import save as write_weights
from torch import Tensor, nn

from registry.model.model_file import ImageInput, ModelFile, format_metadata


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps height and width (except for its stride), with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


def vgg(width: int) -> list[nn.Module]:
    """VGG (Simonyan & Zisserman 2014, arxiv.org/abs/1409.1556): pairs of 3x3 convolutions with pooling between."""
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in (width, 2 * width, 4 * width, 8 * width):
        layers += [convolution(inputs, outputs), nn.ReLU(), convolution(outputs, outputs), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = outputs
    return layers[:-1]  # the last pooling is replaced by global averaging


class Residual(nn.Module):
    """ResNet's basic block (He et al. 2015, arxiv.org/abs/1512.03385): two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, kernel=1, stride=stride)
        self.addition = nn.Sequential(
            convolution(inputs, outputs, stride=stride), nn.ReLU(), convolution(outputs, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return torch.relu(self.shortcut(x) + self.addition(x))


def resnet(width: int) -> list[nn.Module]:
    """ResNet-10, with the 3x3 stem of He et al.'s networks for small images."""
    return [
        convolution(3, width),
        nn.ReLU(),
        Residual(width, width, stride=1),
        Residual(width, 2 * width, stride=2),
        Residual(2 * width, 4 * width, stride=2),
        Residual(4 * width, 8 * width, stride=2),
    ]


ARCHITECTURES = {"vgg": vgg, "resnet": resnet}


class Pixels(nn.Module):
    """The first layer of every network, so that images are scaled the same in training and in use."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, S, S, 3) uint8, as data.py keeps images, to (N, 3, S, S) between -1 and 1."""
        return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def build(architecture: str, classes: int, width: int) -> nn.Sequential:
    """An untrained network, from images (N, S, S, 3) uint8 with S >= 16 to logits (N, classes)."""
    layers = ARCHITECTURES[architecture](width)
    return nn.Sequential(Pixels(), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, classes))


def save(folder: Path, network: nn.Module, size: int, classes: list[str]) -> None:
    """Write model.onnx, which anybody can run, and model.safetensors for further training.

    model.onnx: `images` uint8 (N, size, size, 3) in RGB to `scores` float32 (N, classes), which sum to 1. The same
    network makes the same bytes. A file gets its name when it is complete.
    """
    network = network.cpu().eval()
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter of torch.export needs two more packages and a minute for a large network, and writes the paths
        # of source files into the model.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            nn.Sequential(network, nn.Softmax(1)).eval(),
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
            buffer,
            dynamo=False,
            input_names=["images"],
            output_names=["scores"],
            dynamic_axes={"images": {0: "N"}, "scores": {0: "N"}},
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, format_metadata(ModelFile(tuple(classes), ImageInput(size))))
    partial = folder / "model.partial"
    for name, data in (("safetensors", write_weights(weights)), ("onnx", model.SerializeToString(deterministic=True))):
        partial.write_bytes(data)
        partial.replace(folder / f"model.{name}")
