"""Make the precisions of the matrix from an FP32 ONNX model, with onnxruntime.quantization.

Two steps, so that the files are the same on every machine:

  calibrate  runs the FP32 model over images and writes the range of every tensor to a table, which a person reviews
             and commits. Floating-point sums differ between processors, so this is done once.
  make       writes the precisions from the model and its table. It runs no model and needs no images.
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
from dataclasses import dataclass
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


STATIC: dict[str, Static] = {
    "int8-naive": Static(),
    "int8-qdq": Static(per_channel=True, float_tail=True),
    "int8-qdq-pt": Static(float_tail=True),
    "int8-qop": Static(per_channel=True, float_tail=True, qoperator=True),
}
DYNAMIC: dict[str, QuantType] = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
PRECISIONS = sorted(["fp16", *DYNAMIC, *STATIC])


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

    def __init__(self, files: list[Path], model_input: onnx.ValueInfoProto) -> None:
        self.name = model_input.name
        self.dtype = onnx.helper.tensor_dtype_to_np_dtype(model_input.type.tensor_type.elem_type)
        self.shape = tuple(dim.dim_value for dim in model_input.type.tensor_type.shape.dim)
        self.feeds: Iterator[dict[str, npt.NDArray[np.generic]]] = (self.read(file) for file in files)

    def read(self, file: Path) -> dict[str, npt.NDArray[np.generic]]:
        try:
            tensor = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as err:
            raise InputError(f"{file}: not a .npy file ({err}); make it with `posetest tensors`") from err
        if tensor.dtype != self.dtype or tensor.shape != self.shape:
            raise InputError(
                f"{file}: is {tensor.dtype}{list(tensor.shape)}, the model takes {self.dtype}{list(self.shape)};"
                " make it with `posetest tensors` for the model's family"
            )
        return {self.name: tensor}

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        return next(self.feeds, None)


def calibrate(model_path: Path, model_id: str, tensors: Path) -> bytes:
    """The calibration table of a model: the smallest and largest value of each float tensor over all images."""
    model = load(model_path)
    files = sorted(tensors.glob("*.npy"))
    if not files:
        raise InputError(f"{tensors}: holds no .npy file; make some with `posetest tensors`")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(model_path, Path(folder, "model.onnx")))
        calibrator = MinMaxCalibrater(copy, augmented_model_path=str(Path(folder, "augmented.onnx")))
        calibrator.augment_graph()
        calibrator.create_inference_session()
        calibrator.collect_data(Tensors(files, model.graph.input[0]))
        ranges = calibrator.compute_data()
    inputs = hashlib.sha256("".join(f"{sha256_of(file)}\n" for file in files).encode())
    table = {
        "id": model_id,
        "model_sha256": sha256_of(model_path),
        "inputs": len(files),
        "inputs_sha256": inputs.hexdigest(),
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


def make_static(how: Static, model_path: Path, ranges: TensorsData, out: Path) -> None:
    model = load_model_with_shape_infer(model_path)
    common: tuple[Any, ...] = (
        QuantType.QInt8,  # weights
        QuantType.QUInt8,  # activations
        ranges,
        [],  # every node …
        tail(model) if how.float_tail else [],  # … but these
        sorted({*QLinearOpsRegistry, *QDQRegistry}),
        {},
    )
    reduce_range, static = False, True
    quantizer = (
        ONNXQuantizer(model, how.per_channel, reduce_range, QuantizationMode.QLinearOps, static, *common)
        if how.qoperator
        else QDQQuantizer(model, how.per_channel, reduce_range, *common)
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(out))


def make(precision: str, model_path: Path, ranges: TensorsData | None) -> bytes:
    """The content of the model file in a precision."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(model_path, Path(folder, "model.onnx")))  # the tool writes beside its input
        out = Path(folder, "out.onnx")
        if precision in DYNAMIC:
            quantize_dynamic(copy, out, weight_type=DYNAMIC[precision])
        elif precision == "fp16":
            half = ONNXModel(convert_float_to_float16(onnx.load(copy), keep_io_types=True))
            half.save_model_to_file(str(out))  # which sorts the nodes; the conversion leaves its casts last
        elif ranges is None:
            raise InputError(f"{precision} needs --calibration TABLE: make it with `quantize.py calibrate`")
        else:
            make_static(STATIC[precision], copy, ranges, out)
        return out.read_bytes()


def run_calibrate(args: argparse.Namespace) -> None:
    write_whole(args.out, calibrate(args.model, args.id, args.tensors))
    print(f"{args.out}: calibrated")


def run_make(args: argparse.Namespace) -> None:
    load(args.model)
    ranges = read_ranges(args.calibration, args.model) if args.calibration else None
    for precision in args.precision or PRECISIONS:
        content = make(precision, args.model, ranges)
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
        "  python quantize.py make --model yolov8n-pose.onnx --id yolov8n-pose --out . --precision int8 --precision fp16",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="calibrate|make")

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
    sub = command("make", run_make, "write the precisions of a model")
    sub.add_argument(
        "--calibration", type=Path, metavar="TABLE", help="the model's table; fp16, int8 and uint8 need none"
    )
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
