"""Convert MoveNet SinglePose Lightning from the tfjs graph model that the npm package @vladmandic/human ships to ONNX.

The result is the same file on every run and machine: tf2onnx numbers what it makes in the order of object addresses,
so nodes and tensors are ordered and named anew, from the output backwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import onnx

from files import InputError, write_whole

# The two files of @vladmandic/human 3.3.6 that make up the model.
SOURCE_SHA256 = {
    "models/movenet-lightning.json": "df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9",
    "models/movenet-lightning.bin": "bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34",
}
OPSET = 17
# As in the SavedModel that Google published.
INPUT, OUTPUT = "input", "output_0"
# What every name begins with, and the counters that tf2onnx appends.
NOISE = re.compile(r"^StatefulPartitionedCall/|^center_net_mobile_net_v2fpn_feature_extractor/model_1/|__\d+")


def read_package(package: Path) -> dict[str, bytes]:
    """The model's files from the unpacked package or its .tgz, checked against SOURCE_SHA256."""
    files: dict[str, bytes] = {}
    try:
        if package.is_dir():
            files = {name: (package / name).read_bytes() for name in SOURCE_SHA256}
        else:
            with tarfile.open(package) as archive:
                for name in SOURCE_SHA256:
                    member = archive.extractfile(f"package/{name}")
                    if member is None:
                        raise InputError(f"{package}: package/{name} is not a file; give the .tgz of `npm pack`")
                    files[name] = member.read()
    except tarfile.ReadError as err:
        raise InputError(
            f"{package}: is no archive; give @vladmandic/human 3.3.6, unpacked or as `npm pack` writes it"
        ) from err
    except (OSError, EOFError, KeyError, tarfile.TarError) as err:
        raise InputError(
            f"{package}: {err}; give @vladmandic/human 3.3.6, unpacked or as `npm pack` writes it"
        ) from err
    for name, want in SOURCE_SHA256.items():
        if (got := hashlib.sha256(files[name]).hexdigest()) != want:
            raise InputError(f"{package}: {name} has sha256 {got}, want {want}: take version 3.3.6 of the package")
    return files


def add_missing_types(graph_model: bytes) -> bytes:
    """Give every fused convolution the types of its extra arguments, which TensorFlow requires and tfjs leaves out."""
    model = json.loads(graph_model)
    for node in model["modelTopology"]["node"]:
        if node["op"] == "_FusedConv2D":
            num_args = int(node["attr"]["num_args"]["i"])
            node["attr"]["TArgs"] = {"list": {"type": ["DT_FLOAT"] * num_args}}
    return json.dumps(model).encode()


def run_tf2onnx(files: dict[str, bytes]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        graph_model = Path(folder, "movenet-lightning.json")
        graph_model.write_bytes(add_missing_types(files["models/movenet-lightning.json"]))
        Path(folder, "movenet-lightning.bin").write_bytes(files["models/movenet-lightning.bin"])
        converted = Path(folder, "movenet-lightning.onnx")
        command = [sys.executable, "-m", "tf2onnx.convert", "--tfjs", str(graph_model), "--output", str(converted)]
        command += ["--opset", str(OPSET), "--inputs", "input:0", "--rename-inputs", INPUT]
        command += ["--outputs", "Identity:0", "--rename-outputs", OUTPUT]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise InputError(
                f"tf2onnx failed; is the environment that of requirements-convert.txt? It said:\n{done.stderr}"
            )
        return onnx.load(converted)


def short(name: str) -> str:
    while (shorter := NOISE.sub("", name)) != name:
        name = shorter
    return name


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with nodes in order of first use by the output, and names that depend on the graph alone.

    A node is named as in TensorFlow, and by its operator; a weight after the first node that reads it.
    """
    graph = model.graph
    producer = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    renamed: dict[str, str] = {"": "", INPUT: INPUT, OUTPUT: OUTPUT}
    by_content: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    used: dict[str, int] = {}

    def unique(name: str) -> str:
        used[name] = used.get(name, 0) + 1
        return name if used[name] == 1 else f"{name}.{used[name]}"

    def visit(name: str) -> None:
        node = producer.get(name)
        if node is None or node.name in seen:
            return
        seen.add(node.name)
        for source in node.input:
            visit(source)
        clean = unique(f"{short(node.name)}/{node.op_type}")
        for position, source in enumerate(node.input):
            if source in weights and source not in renamed:
                renamed[source] = add_weight(weights[source], f"{clean}/input{position}")
        for position, target in enumerate(node.output):
            renamed.setdefault(target, f"{clean}:{position}")
        fresh = onnx.NodeProto()
        fresh.CopyFrom(node)
        fresh.name = clean
        fresh.input[:] = [renamed[source] for source in node.input]
        fresh.output[:] = [renamed[target] for target in node.output]
        nodes.append(fresh)

    def add_weight(tensor: onnx.TensorProto, name: str) -> str:
        array = onnx.numpy_helper.to_array(tensor)
        key = (tensor.data_type, array.shape, array.tobytes())
        if key not in by_content:
            by_content[key] = name
            tensors.append(onnx.numpy_helper.from_array(array, name))
        return by_content[key]

    seen: set[str] = set()
    visit(OUTPUT)
    result = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "movenet-lightning", graph.input, graph.output, tensors),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="tf2onnx",
        producer_version="1.17.0",
    )
    onnx.checker.check_model(result, full_check=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  npm pack @vladmandic/human@3.3.6\n"
        "  python convert_movenet.py --package vladmandic-human-3.3.6.tgz --out ../models/movenet-lightning.onnx",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--package", type=Path, required=True, help="@vladmandic/human 3.3.6: its folder or .tgz")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the ONNX file to write")
    args = parser.parse_args()
    try:
        model = canonical(run_tf2onnx(read_package(args.package)))
        content = model.SerializeToString(deterministic=True)
        write_whole(args.out, content)
    except (InputError, OSError) as err:
        print(f"convert_movenet.py: {err}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
