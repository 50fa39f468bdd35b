"""Make the precisions of the matrix from an FP32 ONNX model, with onnxruntime.quantization.

Three steps, so that the files are the same on every machine:

  calibrate  runs the FP32 model over images and writes the range of every tensor to a table, which a person reviews
             and commits. Floating-point sums differ between processors, so this is done once.
  recipe     finds what int8-tuned leaves in float: it measures each layer on such images, and writes a recipe, which is
             reviewed and committed, too.
  make       writes the precisions from the model, its table and its recipe. It runs no model and needs no images.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.quantization import MinMaxCalibrater, QDQQuantizer, QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode, load_model_with_shape_infer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.transformers.float16 import convert_float_to_float16

import sensitivity
from files import InputError, write_whole


@dataclass(frozen=True)
class Static:
    """How a calibrated precision differs from what onnxruntime.quantization does by default.

    Activations are unsigned in all of them. The tool's default, signed, is not fused on x86-64: 63 of YOLOv8n-pose's 73
    convolutions then stay float, between conversions, and the model is slower than FP32.
    """

    per_channel: bool = False
    qoperator: bool = False
    float_tail: bool = False
    # Weights as small as x86-64 without VNNI needs them, see `reduced`.
    reduce_range: bool = False
    # What is cut off at the ends of ranges around SiLU, for finer steps between them: the highest values, which a few
    # pixels of one image have, and below the floor, where SiLU(x) is almost 0.
    silu_kept: float = 1.0
    silu_floor: float | None = None
    float_nodes: tuple[str, ...] = ()


STATIC: dict[str, Static] = {
    "int8-naive": Static(),
    "int8-qdq": Static(per_channel=True, float_tail=True),
    "int8-qdq-pt": Static(float_tail=True),
    "int8-qop": Static(per_channel=True, float_tail=True, qoperator=True),
}
DYNAMIC: dict[str, QuantType] = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
TUNED = "int8-tuned"
PRECISIONS = sorted(["fp16", TUNED, *DYNAMIC, *STATIC])
SILU_KEPT = (1.0, 0.9, 0.8, 0.7, 0.6)
SILU_FLOORS = (None, -6.0, -8.0, -12.0)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model)
    except (OSError, onnx.checker.ValidationError, ValueError) as err:
        raise InputError(f"{path}: {err}; give an FP32 ONNX model") from err
    except Exception as err:  # protobuf's DecodeError, whose module moves between its versions
        raise InputError(f"{path}: not an ONNX file ({err}); give an FP32 ONNX model") from err
    return model


class Tensors:
    """Feeds calibration tensors, one .npy file each, to the calibrator."""

    def __init__(self, folder: Path, model_input: onnx.ValueInfoProto) -> None:
        self.files = sorted(folder.glob("*.npy"))
        if not self.files:
            raise InputError(f"{folder}: holds no .npy file; make some with `posetest tensors`")
        self.name = model_input.name
        self.dtype = onnx.helper.tensor_dtype_to_np_dtype(model_input.type.tensor_type.elem_type)
        self.shape = tuple(dim.dim_value for dim in model_input.type.tensor_type.shape.dim)
        self.feeds: Iterator[dict[str, npt.NDArray[np.generic]]] = ({self.name: self.read(file)} for file in self.files)

    def read(self, file: Path) -> npt.NDArray[np.generic]:
        try:
            tensor: npt.NDArray[np.generic] = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as err:
            raise InputError(f"{file}: not a .npy file ({err}); make it with `posetest tensors`") from err
        if tensor.dtype != self.dtype or tensor.shape != self.shape:
            raise InputError(
                f"{file}: is {tensor.dtype}{list(tensor.shape)}, the model takes {self.dtype}{list(self.shape)};"
                " make it with `posetest tensors` for the model's family"
            )
        return tensor

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        return next(self.feeds, None)

    def sum(self) -> str:
        return hashlib.sha256("".join(f"{sha256_of(file)}\n" for file in self.files).encode()).hexdigest()


def calibrate(model_path: Path, model_id: str, folder: Path) -> bytes:
    """The calibration table of a model: the smallest and largest value of each float tensor over all images."""
    model = load(model_path)
    tensors = Tensors(folder, model.graph.input[0])
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copy(model_path, Path(scratch, "model.onnx")))
        calibrator = MinMaxCalibrater(copy, augmented_model_path=str(Path(scratch, "augmented.onnx")))
        calibrator.augment_graph()
        calibrator.create_inference_session()
        calibrator.collect_data(tensors)
        ranges = calibrator.compute_data()
    table = {
        "id": model_id,
        "model_sha256": sha256_of(model_path),
        "inputs": len(tensors.files),
        "inputs_sha256": tensors.sum(),
        "made_with": {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
        # The shortest decimals that read back as the same float32.
        "ranges": {
            name: [float(str(np.float32(v.item()))) for v in ranges[name].range_value] for name in sorted(ranges)
        },
    }
    head, _, rows = json.dumps(table, indent=1, ensure_ascii=False).partition('"ranges"')
    rows = rows.replace("[\n   ", "[").replace(",\n   ", ", ").replace("\n  ]", "]")
    return f'{head}"ranges"{rows}\n'.encode()


def read_ranges(table_path: Path, model_path: Path) -> TensorsData:
    """The ranges of a calibration table, if they are the model's."""
    try:
        table = json.loads(table_path.read_text(encoding="utf-8"))
        want = table["model_sha256"]
        ranges = {
            name: (np.float32(low).reshape(()), np.float32(high).reshape(()))
            for name, (low, high) in table["ranges"].items()
        }
        if wrong := [
            name for name, (low, high) in ranges.items() if not (np.isfinite([low, high]).all() and low <= high)
        ]:
            raise InputError(f"{table_path}: the range of {wrong[0]} is not one; make it with `quantize.py calibrate`")
    except OSError as err:
        raise InputError(f"{table_path}: {err.strerror}; make it with `quantize.py calibrate`") from err
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise InputError(
            f"{table_path}: not a calibration table ({err!r}); make it with `quantize.py calibrate`"
        ) from err
    if (got := sha256_of(model_path)) != want:
        raise InputError(
            f"{table_path}: is of the model with sha256 {want}, but {model_path} has {got};"
            " run `quantize.py calibrate` on this model first"
        )
    return TensorsData(CalibrationMethod.MinMax, ranges)


def tail(model: onnx.ModelProto) -> list[str]:
    """The nodes behind the last convolutions, which decode what those predict.

    The convolution of YOLO's distribution focal loss has one output channel and takes a mean: it decodes, too.
    """
    weights = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}

    def predicts(node: onnx.NodeProto) -> bool:
        return node.op_type in ("Conv", "Gemm", "MatMul") and weights.get(node.input[1], 2) > 1

    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    before: set[str] = set()
    for node in reversed(model.graph.node):  # in topological order, as ONNX demands
        behind = [consumer for output in node.output for consumer in consumers.get(output, [])]
        if predicts(node) or any(consumer.name in before for consumer in behind):
            before.add(node.name)
    return [node.name for node in model.graph.node if node.name not in before]


def before_first_layer(model: onnx.ModelProto) -> list[str]:
    """The nodes in front of the first convolution, which prepare the picture."""
    names = [node.name for node in model.graph.node]
    return names[: [node.op_type for node in model.graph.node].index("Conv")]


def around_silu(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """The tensors x of which the model takes x × sigmoid(x); and those products, with what only passes them on."""
    sigmoids = {(node.input[0], node.output[0]) for node in model.graph.node if node.op_type == "Sigmoid"}
    entering, leaving = set(), set()
    for node in model.graph.node:
        if node.op_type == "Mul" and tuple(node.input) in sigmoids:
            entering.add(node.input[0])
            leaving.add(node.output[0])
        elif node.op_type in ("Add", "Concat", "MaxPool", "Resize", "Split") and leaving & set(node.input):
            leaving.update(node.output)
    return entering, leaving


def narrow(how: Static, model: onnx.ModelProto, ranges: TensorsData) -> TensorsData:
    """The ranges without what is cut off around SiLU."""
    entering, leaving = around_silu(model)
    floor = np.float32(-np.inf if how.silu_floor is None else how.silu_floor)
    values = {name: ranges[name].range_value for name in ranges}
    for name in (entering | leaving) & set(values):
        low, high = values[name]
        values[name] = (np.maximum(low, floor) if name in entering else low, high * np.float32(how.silu_kept))
    return TensorsData(CalibrationMethod.MinMax, values)


def reduced(model: onnx.ModelProto, outside: set[str]) -> dict[str, list[dict[str, Any]]]:
    """The range of each output channel of the quantized convolutions for which no sum of two products saturates.

    x86-64 without VNNI adds the products of two neighbouring input channels in 16 bits (VPMADDUBSW). With activations
    up to 255 that holds two weights of one sign that add up to 128 at most. 7 bits for every weight, the tool's own
    reduce_range, do for the worst pair; here a channel loses only what its largest pair asks for, about half a bit.
    A depthwise convolution has no neighbours to add, and keeps 8 bits.
    """
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    ranges: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.name in outside:
            continue
        by_channel = np.moveaxis(weights[node.input[1]], 1, -1)  # the order in which products are added
        rows = by_channel.reshape(len(by_channel), -1)
        highest = np.abs(rows).max(axis=1)
        if by_channel.shape[-1] > 1:
            pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
            for sign in (1, -1):
                highest = np.maximum(highest, np.maximum(sign * pairs, 0).sum(axis=2).max(axis=1))
        ranges[node.input[1]] = [
            {"quant_type": QuantType.QInt8, "axis": 0, "rmin": np.float32(-top), "rmax": np.float32(top)}
            for top in highest
        ]
    return ranges


def make_static(how: Static, model_path: Path, ranges: TensorsData, out: Path) -> None:
    model = load_model_with_shape_infer(model_path)
    float_nodes = [*(tail(model) if how.float_tail else []), *how.float_nodes]
    options = {"TensorQuantOverrides": reduced(model, {*float_nodes})} if how.reduce_range else {}
    common: tuple[Any, ...] = (
        QuantType.QInt8,  # weights
        QuantType.QUInt8,  # activations
        narrow(how, model, ranges),
        [],  # every node …
        float_nodes,  # … but these
        sorted({*QLinearOpsRegistry, *QDQRegistry}),
        options,
    )
    static, seven_bits = True, False
    quantizer = (
        ONNXQuantizer(model, how.per_channel, seven_bits, QuantizationMode.QLinearOps, static, *common)
        if how.qoperator
        else QDQQuantizer(model, how.per_channel, seven_bits, *common)
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(out))


def longest_ends(
    model: onnx.ModelProto, budget: float, error: Callable[[sensitivity.Ends], float]
) -> sensitivity.Ends:
    """The ends to leave in float: step by step one of them is made a block longer, whichever helps more."""
    rows = sensitivity.ends(model)
    first, last = 0, 0
    while steps := [
        (row, column)
        for row, column in ((first + 1, last), (first, last + 1))
        if row < len(rows) and column < len(rows[row]) and rows[row][column].share <= budget
    ]:
        first, last = min(steps, key=lambda step: error(rows[step[0]][step[1]]))
    return rows[first][last]


def find_recipe(
    model_path: Path, model_id: str, ranges: TensorsData, folder: Path, budget: float, reduce_range: bool, ends: bool
) -> bytes:
    """The recipe of a model: how int8-tuned quantizes it, and what it leaves in float.

    The most sensitive layers are left in float, or both ends of the model are, as long as their multiplications stay
    within the budget, a share of the model's. Then the ranges are narrowed to where the error is least.
    """
    model = load(model_path)
    tensors = Tensors(folder, model.graph.input[0])
    judge = sensitivity.Judge(model_path.read_bytes(), [tensors.read(file) for file in tensors.files])
    before = tuple(before_first_layer(model))
    plain = Static(per_channel=True, float_tail=True, reduce_range=reduce_range, float_nodes=before)

    def error(how: Static, what: str) -> float:
        result = round(judge.error(make_by(how, model_path, ranges)), 6)
        print(f"{what}: {result:.4%} of the person's size", flush=True)
        return result

    decoding = set(tail(model))
    after: tuple[str, ...] = ()
    if ends:

        def with_ends(pair: sensitivity.Ends) -> Static:
            return replace(plain, float_nodes=tuple(name for name in (*pair.first, *pair.last) if name not in decoding))

        found = longest_ends(model, budget, lambda pair: error(with_ends(pair), f"{pair.share:.4f} float at both ends"))
        before = found.first
        after = tuple(name for name in found.last if name not in decoding)
    layers = [] if ends else sensitivity.layers(model, {*plain.float_nodes, *decoding})
    names = {node.name for node in model.graph.node}
    alone = {
        layer: error(replace(plain, float_nodes=tuple(sorted(names - set(layer.nodes)))), f"{layer.nodes[0]} alone")
        for layer in layers
    }
    spent = 0.0
    left: list[sensitivity.Layer] = []
    for layer in sorted(layers, key=lambda layer: -alone[layer]):
        if spent + layer.share <= budget:
            spent += layer.share
            left.append(layer)
    mixed = replace(plain, float_nodes=(*before, *after, *(name for layer in left for name in layer.nodes)))
    narrower = [replace(mixed, silu_kept=kept, silu_floor=floor) for kept in SILU_KEPT for floor in SILU_FLOORS]
    errors = {
        how: error(how, f"{len(left)} layers in float, SiLU's highest × {how.silu_kept} and floor {how.silu_floor}")
        for how in (narrower if any(around_silu(model)) else [mixed])
    }
    best = min(errors, key=lambda how: errors[how])
    recipe = {
        "id": model_id,
        "model_sha256": sha256_of(model_path),
        "inputs": len(tensors.files),
        "inputs_sha256": tensors.sum(),
        "made_with": {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
        "weights": "int8 per channel",
        "activations": "uint8 per tensor",
        "reduce_range": reduce_range,
        "silu_kept": best.silu_kept,
        "silu_floor": best.silu_floor,
        "budget": budget,
        "error": {"untuned": error(plain, "untuned"), "float_layers": errors[mixed], "tuned": errors[best]},
        "float_before": before,
        **({"float_after": after} if ends else {}),
        "float_layers": [
            {"nodes": layer.nodes, "error_alone": alone[layer], "multiplications": round(layer.share, 6)}
            for layer in left
        ],
    }
    return f"{json.dumps(recipe, indent=1, ensure_ascii=False)}\n".encode()


def read_recipe(recipe_path: Path, model_path: Path) -> Static:
    """How to make int8-tuned of a model, if the recipe is the model's."""
    try:
        recipe = json.loads(recipe_path.read_text(encoding="utf-8"))
        want = recipe["model_sha256"]
        floor = recipe["silu_floor"]
        how = Static(
            per_channel=True,
            float_tail=True,
            reduce_range=bool(recipe["reduce_range"]),
            silu_kept=float(recipe["silu_kept"]),
            silu_floor=None if floor is None else float(floor),
            float_nodes=(
                *recipe["float_before"],
                *recipe.get("float_after", []),
                *(name for layer in recipe["float_layers"] for name in layer["nodes"]),
            ),
        )
    except OSError as err:
        raise InputError(f"{recipe_path}: {err.strerror}; make it with `quantize.py recipe`") from err
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise InputError(f"{recipe_path}: not a recipe ({err!r}); make it with `quantize.py recipe`") from err
    if unknown := sorted(set(how.float_nodes) - {node.name for node in load(model_path).graph.node}):
        raise InputError(f"{recipe_path}: {model_path} has no node {unknown[0]}; make it with `quantize.py recipe`")
    if (got := sha256_of(model_path)) != want:
        print(
            f"{recipe_path}: is of the model with sha256 {want}, but {model_path} has {got};"
            " its nodes have the same names, so the recipe is used all the same",
            file=sys.stderr,
        )
    return how


def make_by(how: Static, model_path: Path, ranges: TensorsData) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(model_path, Path(folder, "model.onnx")))  # the tool writes beside its input
        make_static(how, copy, ranges, Path(folder, "out.onnx"))
        return Path(folder, "out.onnx").read_bytes()


def make(precision: str, model_path: Path, ranges: TensorsData | None, tuned: Static | None) -> bytes:
    """The content of the model file in a precision."""
    if precision == TUNED or precision in STATIC:
        how = tuned if precision == TUNED else STATIC[precision]
        if how is None:
            raise InputError(f"{precision} needs --recipe RECIPE: make it with `quantize.py recipe`")
        if ranges is None:
            raise InputError(f"{precision} needs --calibration TABLE: make it with `quantize.py calibrate`")
        return make_by(how, model_path, ranges)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(model_path, Path(folder, "model.onnx")))  # the tool writes beside its input
        out = Path(folder, "out.onnx")
        if precision in DYNAMIC:
            quantize_dynamic(copy, out, weight_type=DYNAMIC[precision])
        else:
            half = ONNXModel(convert_float_to_float16(onnx.load(copy), keep_io_types=True))
            half.save_model_to_file(str(out))  # which sorts the nodes; the conversion leaves its casts last
        return out.read_bytes()


def run_calibrate(args: argparse.Namespace) -> None:
    write_whole(args.out, calibrate(args.model, args.id, args.tensors))
    print(f"{args.out}: calibrated")


def run_recipe(args: argparse.Namespace) -> None:
    if not 0 <= args.budget < 1:
        raise InputError(f"--budget is {args.budget}; give the share of multiplications that may stay float, as 0.05")
    ranges = read_ranges(args.calibration, args.model)
    content = find_recipe(args.model, args.id, ranges, args.tensors, args.budget, args.reduce_range, args.ends)
    write_whole(args.out, content)
    print(f"{args.out}: written")


def run_make(args: argparse.Namespace) -> None:
    load(args.model)
    ranges = read_ranges(args.calibration, args.model) if args.calibration else None
    tuned = read_recipe(args.recipe, args.model) if args.recipe else None
    for precision in args.precision or PRECISIONS:
        content = make(precision, args.model, ranges, tuned)
        path = args.out / f"{args.id}-{precision}.onnx"
        write_whole(path, content)
        print(f"{path}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="examples:\n"
        "  python quantize.py calibrate --model movenet-lightning.onnx --id movenet-lightning \\\n"
        "    --tensors tensors/ --out ../models/calibration/movenet-lightning.json\n"
        "  python quantize.py make --model movenet-lightning.onnx --id movenet-lightning \\\n"
        "    --calibration ../models/calibration/movenet-lightning.json --out ../models\n"
        "  python quantize.py make --model yolov8n-pose.onnx --id yolov8n-pose --out . --precision int8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="calibrate|recipe|make")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--model", type=Path, required=True, metavar="FILE", help="the FP32 model")
        sub.add_argument("--id", required=True, help="the model's id in models.json")
        sub.set_defaults(run=run)
        return sub

    sub = command("calibrate", run_calibrate, "write the calibration table of a model")
    sub.add_argument(
        "--tensors", type=Path, required=True, metavar="DIR", help="input tensors, as `posetest tensors` writes"
    )
    sub.add_argument("--out", type=Path, required=True, metavar="TABLE", help="the table to write")
    sub = command("recipe", run_recipe, "find what int8-tuned leaves in float")
    sub.add_argument("--calibration", type=Path, required=True, metavar="TABLE", help="the model's table")
    sub.add_argument("--tensors", type=Path, required=True, metavar="DIR", help="input tensors to measure on")
    sub.add_argument(
        "--budget",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="of the multiplications may stay float; default 0.05",
    )
    sub.add_argument("--reduce-range", action="store_true", help="weights so small that no processor saturates on them")
    sub.add_argument("--ends", action="store_true", help="leave both ends of the model in float, not single layers")
    sub.add_argument("--out", type=Path, required=True, metavar="RECIPE", help="the recipe to write")
    sub = command("make", run_make, "write the precisions of a model")
    sub.add_argument(
        "--calibration", type=Path, metavar="TABLE", help="the model's table; fp16, int8 and uint8 need none"
    )
    sub.add_argument("--recipe", type=Path, metavar="RECIPE", help="the model's recipe; only int8-tuned needs it")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="writes ID-PRECISION.onnx here")
    sub.add_argument("--precision", action="append", choices=PRECISIONS, help="make only this one; may be repeated")
    args = parser.parse_args()
    # Its advice to optimize the graph first would rename the nodes that the support table names.
    logging.disable(logging.WARNING)
    try:
        args.run(args)
    except (InputError, OSError) as err:
        print(f"quantize.py: {err}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
