"""Joins a backbone and a head that was trained on its features into one model file."""

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, compose, helper, version_converter

from registry.core.model_values import FEATURES
from registry.model import model_file
from registry.model.model_file import ImageInput, ModelFile

SCORES = "scores"
OPSETS = range(9, 21)  # the versions of standard operators that `torch.onnx.export` writes
_BACKBONE, _HEAD = "backbone/", "head/"  # in front of the names of each part's values


def opset(backbone: bytes) -> int:
    """The version of standard operators in which to export a head for this backbone."""
    found = _opset(onnx.load_model_from_string(backbone))
    return min(max(found, OPSETS[0]), OPSETS[-1])


def join(backbone: bytes, head: bytes, classes: tuple[str, ...]) -> bytes:
    """One model file, `images` to `scores`, that declares these classes and the backbone's input.

    Both are ONNX: the backbone in the form of the task `features`, the head from `features` float32 (N, D) to `scores`
    float32 (N, classes). The same parts make the same bytes.
    """
    front, back = onnx.load_model_from_string(backbone), onnx.load_model_from_string(head)
    given = _declared_input(front)
    version = max(_opset(front), _opset(back))
    front, back = (_converted(model, version) for model in (front, back))
    back.ir_version = front.ir_version = max(front.ir_version, back.ir_version)
    for model in (front, back):
        del model.metadata_props[:]
    joined = compose.merge_models(
        front, back, [(FEATURES, FEATURES)], prefix1=_BACKBONE, prefix2=_HEAD, producer_name="registry"
    )
    _name_ends(joined, given.size, len(classes))
    imports = {one.domain: one.version for one in (*front.opset_import, *back.opset_import)}
    del joined.opset_import[:]
    joined.opset_import.extend(helper.make_opsetid(domain, number) for domain, number in sorted(imports.items()))
    helper.set_model_props(joined, model_file.format_metadata(ModelFile(classes, given)))
    return bytes(joined.SerializeToString(deterministic=True))


def _opset(model: ModelProto) -> int:
    return int(next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")))


def _declared_input(backbone: ModelProto) -> ImageInput:
    metadata = {entry.key: entry.value for entry in backbone.metadata_props}
    return model_file.parse_metadata(metadata, has_classes=False).input


def _converted(model: ModelProto, version: int) -> ModelProto:
    return model if _opset(model) == version else version_converter.convert_version(model, version)


def _name_ends(joined: ModelProto, size: int, classes: int) -> None:
    """Give the joined graph the input and the output of a model file; the names of both parts have prefixes."""
    ends: tuple[tuple[ValueInfoProto, str, str], ...] = (
        (
            helper.make_tensor_value_info(model_file.IMAGES, TensorProto.UINT8, ["N", size, size, 3]),
            model_file.IMAGES,
            f"{_BACKBONE}{model_file.IMAGES}",
        ),
        (helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["N", classes]), f"{_HEAD}{SCORES}", SCORES),
    )
    weights = {tensor.name for tensor in joined.graph.initializer}
    kept = [one for one in joined.graph.input if one.name in weights]  # files of old versions list weights as inputs
    del joined.graph.input[:], joined.graph.output[:]
    (first, *names), (last, *others) = ends
    joined.graph.node.insert(0, helper.make_node("Identity", names[:1], names[1:], name="images"))
    joined.graph.node.append(helper.make_node("Identity", others[:1], others[1:], name="scores"))
    joined.graph.input.extend([first, *kept])
    joined.graph.output.append(last)
