"""Open the first dimension of an ONNX model, so that it takes as many images at once as it is given.

The model must have been exported for one image. Its reshapes, which name the 1, are told to keep what comes in, and the
names of its nodes stay. The result is held to the model that it is made of: every image of a batch must get the outputs
that it gets alone. A model that looks at the whole batch, such as one that quantizes dynamically, is refused by that.

Exit codes: 0 written, 1 the model is for one image at a time, 2 something is wrong with the files given.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper

from files import InputError, write_whole

BATCH = "batch"


class OneImage(Exception):
    """Why a model is for one image at a time."""


def open_batch(path: Path) -> bytes:
    """The model of one image as a model of any number of images; the same bytes on every machine."""
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as err:
        raise InputError(f"{path}: {err.strerror}; check the path") from err
    except Exception as err:  # protobuf's DecodeError, whose module moves between its versions
        raise InputError(f"{path}: not an ONNX file ({err}); export it again") from err
    graph = model.graph
    for value in [*graph.input, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        if not dims or dims[0].dim_value != 1:
            shape = [dim.dim_value or dim.dim_param or "?" for dim in dims]
            raise InputError(f"{path}: {value.name} has shape {shape}, which begins with no 1; export it for one image")
        dims[0].dim_param = BATCH  # which takes the place of the 1
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    images = {value.name for value in graph.input}  # and all that is made of them
    for node in graph.node:
        if not images & set(node.input):
            continue
        images.update(node.output)
        if node.op_type != "Reshape":
            continue
        to = constants.get(node.input[1])
        shape = None if to is None else numpy_helper.to_array(to)
        if shape is None or shape.size == 0 or shape[0] not in (0, 1):
            what = "a shape that is computed" if shape is None else f"shape {shape.tolist()}"
            raise OneImage(f"{path}: node {node.name} makes {what}, which does not begin with the batch")
        kept = np.concatenate([[0], shape[1:]]).astype(np.int64)  # 0 is the input's own
        node.input[1] = f"{node.output[0]}_batch_shape"
        graph.initializer.append(numpy_helper.from_array(kept, node.input[1]))
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]  # the shapes between, for one image
    for entry in model.metadata_props:
        if entry.key == BATCH:  # Ultralytics'
            entry.value = "-1"
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def session(model: bytes, path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its error is ours to tell
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's, which have no common class
        raise InputError(f"{path}: ONNX Runtime {onnxruntime.__version__} does not load it: {err}") from err


def difference(
    alone: bytes, together: bytes, tensors: list[npt.NDArray[np.generic]], path: Path
) -> tuple[float, float]:
    """The largest difference of an image's outputs in a batch from those alone, and that as a share of the largest output."""
    one, many = session(alone, path), session(together, path)
    name = one.get_inputs()[0].name
    want = [one.run(None, {name: tensor}) for tensor in tensors]
    largest, share = 0.0, 0.0
    for size in range(1, len(tensors) + 1):
        try:
            got = many.run(None, {name: np.concatenate(tensors[:size])})
        except Exception as err:
            raise OneImage(f"{path}: can't run {size} images at once: {err}") from err
        for k, output in enumerate(got):
            if output.shape != (size, *want[0][k].shape[1:]):
                raise OneImage(f"{path}: its {size} images give {list(output.shape)}, and one {list(want[0][k].shape)}")
            for i in range(size):
                differs = float(np.abs(output[i].astype(float) - want[i][k][0]).max())
                largest = max(largest, differs)
                share = max(share, differs / (float(np.abs(want[i][k]).max()) or 1.0))
    return largest, share


def read_tensors(folder: Path) -> list[npt.NDArray[np.generic]]:
    files = sorted(folder.glob("*.npy"))
    if len(files) < 2:
        raise InputError(f"{folder}: holds {len(files)} .npy files; make two or more with `posetest tensors`")
    try:
        return [np.load(file, allow_pickle=False) for file in files]
    except (OSError, ValueError, EOFError) as err:
        raise InputError(f"{folder}: {err}; make its files with `posetest tensors`") from err


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  posetest tensors --model m.onnx --family yolov8-pose --out tensors fixtures/*.jpg\n"
        "  python batch.py --model m.onnx --tensors tensors --out m-batch.onnx",
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the model of one image")
    parser.add_argument("--tensors", type=Path, required=True, metavar="DIR", help="inputs, as `posetest tensors` writes")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the model to write")
    parser.add_argument(
        "--bar", type=float, default=2e-4, metavar="SHARE", help="of the largest output may differ; default 0.0002"
    )
    args = parser.parse_args()
    try:
        tensors = read_tensors(args.tensors)
        content = open_batch(args.model)
        largest, share = difference(args.model.read_bytes(), content, tensors, args.model)
        if not share <= args.bar:
            raise OneImage(
                f"{args.model}: an image's outputs in a batch differ from those alone by {share:.3g} of the largest,"
                f" more than {args.bar:g}: it looks at the whole batch, as dynamic quantization does"
            )
        write_whole(args.out, content)
    except OneImage as err:
        print(f"batch.py: {err}", file=sys.stderr)
        return 1
    except (InputError, OSError) as err:
        print(f"batch.py: {err}", file=sys.stderr)
        return 2
    print(
        f"{args.out}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()},"
        f" {len(tensors)} images together differ from alone by at most {largest:.3g}, {share:.3g} of the largest output"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
