"""Write models.json: the facts of every model file, so that no sum or shape is typed by hand."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from files import InputError, write_whole
from quantize import PRECISIONS, load


@dataclass(frozen=True)
class Model:
    """What is the same for all precisions of a model."""

    id: str
    family: str
    licence: str
    source: str
    made: str
    where: str
    derived: str


MODELS = [
    Model(
        id="movenet-lightning",
        family="movenet",
        licence="Apache-2.0",
        source="Google's MoveNet SinglePose Lightning 4, from models/movenet-lightning.json and .bin of the npm package"
        " @vladmandic/human 3.3.6",
        made="By scripts/convert_movenet.py with tf2onnx 1.17.0 from the tfjs graph model, whose weights are float16.",
        where="repository",
        derived="repository",
    ),
    Model(
        id="yolov8n-pose",
        family="yolov8-pose",
        licence="AGPL-3.0-only",
        source="Ultralytics' yolov8n-pose; weights rebuilt from an INT8 OpenVINO IR of the published model",
        made="An equal graph is had with: yolo export model=yolov8n-pose.pt format=onnx opset=17.",
        where="data",
        derived="derived",
    ),
]

MADE = {
    "fp16": "weights and arithmetic in float16; inputs and outputs keep their types",
    "int8": "quantize_dynamic with its defaults: signed weights, activations quantized at run time",
    "uint8": "quantize_dynamic with weight_type=QUInt8: unsigned weights, activations quantized at run time",
    "int8-naive": "static QDQ, per tensor, every node that the tool can quantize, the output's among them",
    "int8-qdq": "static QDQ, per channel; the nodes behind the last convolutions stay float",
    "int8-qdq-pt": "static QDQ, per tensor; the nodes behind the last convolutions stay float",
    "int8-qop": "static QOperator, per channel; the nodes behind the last convolutions stay float",
    "int8-tuned": "static QDQ, per channel; what the model's recipe in models/recipes names stays float",
}

# What is called available, and where. TestAvailable holds it to the support table and to a run: a file is no proof.
AVAILABLE = {precision: ["linux/amd64"] for precision in ("fp32", "fp16", "int8-qdq", "int8-qop", "int8-tuned")}


def values(infos: list[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
    return [
        {
            "name": info.name,
            "type": onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type).name,
            "shape": [dim.dim_value for dim in info.type.tensor_type.shape.dim],
        }
        for info in infos
    ]


def entry(model: Model, precision: str, folder: Path) -> dict[str, Any]:
    original = precision == "fp32"
    path = folder / (f"{model.id}.onnx" if original else f"{model.id}-{precision}.onnx")
    graph = load(path).graph
    content = path.read_bytes()
    return {
        "id": model.id,
        "family": model.family,
        "precision": precision,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "inputs": values(list(graph.input)),
        "outputs": values(list(graph.output)),
        "licence": model.licence,
        "source": model.source if original else f"{model.id}.onnx",
        "made": model.made if original else f"By scripts/quantize.py make --precision {precision}: {MADE[precision]}.",
        "where": model.where if original else model.derived,
        **({"available": AVAILABLE[precision]} if precision in AVAILABLE else {}),
    }


def catalogue(folders: dict[str, Path]) -> bytes:
    entries = [
        entry(model, precision, folders[model.id]) for model in MODELS for precision in sorted(["fp32", *PRECISIONS])
    ]
    # One line a tensor and a list of platforms: what a person compares stays in one row of a diff.
    text = json.dumps({"models": entries}, indent=2, ensure_ascii=False)
    for platforms in AVAILABLE.values():
        text = text.replace(json.dumps(platforms, indent=2).replace("\n", "\n      "), json.dumps(platforms))
    for tensor in {
        json.dumps(t, indent=2).replace("\n", "\n        ") for e in entries for t in (*e["inputs"], *e["outputs"])
    }:
        text = text.replace(tensor, json.dumps(json.loads(tensor)))
    return f"{text}\n".encode()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python catalogue.py --movenet ../models --yolo DIR --out ../models/models.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--movenet", type=Path, required=True, metavar="DIR", help="holds all precisions of movenet-lightning"
    )
    parser.add_argument("--yolo", type=Path, required=True, metavar="DIR", help="holds all precisions of yolov8n-pose")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the catalogue to write")
    args = parser.parse_args()
    try:
        write_whole(args.out, catalogue({"movenet-lightning": args.movenet, "yolov8n-pose": args.yolo}))
    except (InputError, OSError) as err:
        print(f"catalogue.py: {err}", file=sys.stderr)
        return 2
    print(f"{args.out}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
