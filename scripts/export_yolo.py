"""Bring YOLOv8n-pose as ONNX: Ultralytics' weights through Ultralytics' own exporter.

A file of weights is a pickle, and to load one can run what it says. So the weights are fetched into an empty folder and
loaded only if they have the sum that is known, and the exporter may install nothing beside the pinned packages.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from pathlib import Path

from files import InputError, write_whole

NAME = "yolov8n-pose"
# Of yolov8n-pose.pt, 6832633 bytes, the same in the releases v8.2.0 to v8.4.0 of ultralytics/assets.
WEIGHTS_SHA256 = "c6fa93dd1ee4a2c18c900a45c1d864a1c6f7aba75d84f91648a30b7fb641d212"
OPSET = 17


def check(weights: Path) -> None:
    if (got := hashlib.sha256(weights.read_bytes()).hexdigest()) != WEIGHTS_SHA256:
        raise InputError(f"{weights.name} has sha256 {got}, want {WEIGHTS_SHA256}: it was not loaded; do not use it")


def export(folder: Path, given: Path | None) -> bytes:
    """The ONNX file, made in that empty folder. Ultralytics reads its settings when it is imported, hence here."""
    os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(folder)}
    weights = folder / f"{NAME}.pt"
    if given:
        weights.write_bytes(given.read_bytes())
        check(weights)  # before the import, which takes seconds
    from ultralytics import YOLO
    from ultralytics.utils.downloads import attempt_download_asset

    if not given:
        weights = Path(attempt_download_asset(str(weights)))
    check(weights)
    return Path(YOLO(str(weights)).export(format="onnx", opset=OPSET)).read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help=f"folder to write {NAME}.onnx to")
    parser.add_argument("--weights", type=Path, help=f"a {NAME}.pt that is already here (default: it is downloaded)")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_whole(args.out / f"{NAME}.onnx", export(Path(folder), args.weights))
    except (InputError, OSError) as err:
        print(f"export_yolo.py: {err}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
