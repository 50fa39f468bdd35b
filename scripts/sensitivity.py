"""How much each layer of a pose model suffers from quantization, measured at the persons that FP32 finds.

Nothing is decoded beyond what the measure needs: the predictions that FP32 is sure of are picked, and the same rows of
the other model's output are compared with them.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

Floats = npt.NDArray[np.float32]
# Where FP32 says that there is a person, and that a keypoint is to be seen.
SURE, VISIBLE = 0.25, 0.3
# An error is cut off at this share of the person's size: a keypoint that is lost is lost.
LOST = 0.2


@dataclass(frozen=True)
class Predictions:
    """Rows of a model's output: persons or what may be one."""

    keypoints: Floats  # [N,17,2] in the output's own unit
    seen: Floats  # [N,17], the confidence of each keypoint
    score: Floats  # [N]
    size: Floats  # [N], √(width × height) of the box, in the same unit


def predictions(output: Floats) -> Predictions:
    """Read MoveNet's [1,1,17,3] (y, x, confidence) or YOLOv8-pose's [1,56,N] (box, score, 17 of x, y, confidence)."""
    if output.shape == (1, 1, 17, 3):
        points, seen = output[0, :, :, :2], output[0, :, :, 2]
        spread = points[seen >= VISIBLE] if (seen >= VISIBLE).any() else points[0]
        height, width = np.maximum(np.ptp(spread, axis=0), 0.05)
        return Predictions(points, seen, seen.mean(axis=1), np.full(1, np.sqrt(height * width), np.float32))
    if output.ndim == 3 and output.shape[:2] == (1, 56):
        rows = output[0].T
        triples = rows[:, 5:].reshape(-1, 17, 3)
        return Predictions(triples[:, :, :2], triples[:, :, 2], rows[:, 4], np.sqrt(rows[:, 2] * rows[:, 3]))
    raise ValueError(f"an output {list(output.shape)} is of no known family")


class Judge:
    """Compares models with FP32 on the same tensors."""

    def __init__(self, fp32: bytes, tensors: list[npt.NDArray[np.generic]]) -> None:
        self.tensors = tensors
        self.reference = [predictions(output) for output in self.run(fp32)]

    def run(self, model: bytes) -> list[Floats]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1  # a tensor a processor is faster
        # Quantize and dequantize stay nodes of their own between float kernels. That is exact everywhere; the fused
        # kernels saturate on x86-64 without VNNI, and the measure would tell of the machine.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda tensor: session.run(None, {name: tensor})[0], self.tensors))

    def error(self, model: bytes) -> float:
        """The mean distance of visible keypoints from FP32's, as a share of the person's size."""
        distances: list[Floats] = []
        for want, output in zip(self.reference, self.run(model), strict=True):
            got, sure = predictions(output), want.score >= SURE
            shift = np.linalg.norm(got.keypoints[sure] - want.keypoints[sure], axis=2) / want.size[sure, None]
            distances.append(shift[want.seen[sure] >= VISIBLE])
        return float(np.minimum(np.concatenate(distances), LOST).mean())


def work(model: onnx.ModelProto) -> dict[str, float]:
    """The share of the model's multiplications of each convolution."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    pixels = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim][2:] for value in graph.value_info}
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    counts = {
        node.name: int(np.prod([*weights[node.input[1]], *pixels[node.output[0]]]))
        for node in graph.node
        if node.op_type == "Conv"
    }
    return {name: count / sum(counts.values()) for name, count in counts.items()}


@dataclass(frozen=True)
class Layer:
    """A convolution and the activation behind it; a depthwise one with the convolution behind it, too."""

    nodes: tuple[str, ...]
    share: float  # of the model's multiplications


def layers(model: onnx.ModelProto, outside: set[str]) -> list[Layer]:
    """The layers that can be left in float, in the order of the model's nodes; outside are the nodes that always are.

    onnxruntime from 1.21 on quantizes by itself, per tensor, a lone convolution between DequantizeLinear and
    QuantizeLinear, even if Clip or Relu follows it (WeightBiasQuantization, microsoft/onnxruntime#22969). Left in
    float it is worse off than quantized per channel, so it is no layer here.
    """
    graph, shares = model.graph, work(model)
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    producer = {output: node for node in graph.node for output in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)

    def with_activation(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The node and Clip or Relu; or SiLU, which is Sigmoid and a product with the same tensor."""
        output = node.output[0]
        found = [node for node in consumers[output] if node.op_type in ("Clip", "Relu", "Sigmoid")]
        products = [node for first in found for node in consumers[first.output[0]] if node.op_type == "Mul"]
        return [node, *found, *(node for node in products if output in node.input)]

    convolutions = {node.name: node for node in graph.node if node.op_type == "Conv"}
    found: list[Layer] = []
    for first in convolutions.values():
        nodes = with_activation(first)
        behind = consumers[nodes[-1].output[0]]
        if weights[first.input[1]][1] == 1 and len(behind) == 1 and behind[0].op_type == "Conv":
            nodes += with_activation(behind[0])
            behind = consumers[nodes[-1].output[0]]
        names = tuple(node.name for node in nodes)
        source = producer.get(first.input[0])
        several = sum(name in convolutions for name in names) > 1 or nodes[-1].op_type == "Mul"
        beside_float = {node.name for node in [*behind, *([source] if source else [])]} & outside
        if first.name not in outside and (several or beside_float):
            found.append(Layer(names, sum(shares.get(name, 0) for name in names)))
    inner = {name for layer in found for name in layer.nodes[1:]}
    return [layer for layer in found if layer.nodes[0] not in inner]


@dataclass(frozen=True)
class Ends:
    """Both ends of a model that stay in float: the first nodes of the model, and the last."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    share: float  # of the model's multiplications


def ends(model: onnx.ModelProto) -> list[list[Ends]]:
    """What the ends may be: a row for each length of the first, with all lengths of the last.

    An end is whole blocks, from or to a convolution in front of which there is no depthwise one.
    """
    nodes = list(model.graph.node)
    shares = work(model)
    depthwise = {tensor.name for tensor in model.graph.initializer if tensor.dims and tensor.dims[1:2] == [1]}
    producer = {output: node for node in nodes for output in node.output}

    def begins(node: onnx.NodeProto) -> bool:
        before = producer.get(node.input[0])
        while before is not None and before.op_type in ("Clip", "Relu"):
            before = producer.get(before.input[0])
        behind_depthwise = before is not None and before.op_type == "Conv" and before.input[1] in depthwise
        return node.op_type == "Conv" and node.input[1] not in depthwise and not behind_depthwise

    cuts = [place for place, node in enumerate(nodes) if begins(node)] + [len(nodes)]

    def pair(to: int, start: int) -> Ends:
        first, last = (tuple(node.name for node in part) for part in (nodes[:to], nodes[start:]))
        return Ends(first, last, sum(shares.get(name, 0) for name in (*first, *last)))

    return [[pair(to, start) for start in reversed(cuts) if start > to] for to in cuts]
