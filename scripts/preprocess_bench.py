"""Time preprocessing and decoding of YOLOv8-pose with NumPy and OpenCV, for comparison with `go test -bench YOLO ./posetest/pose`.

One thread, a 640×480 photograph that is decoded from JPEG already, 20 persons in the output: what BenchmarkYOLO does.
Two ways of preprocessing are timed: `plain` converts to float first, as most code on the web does; `lean` moves bytes
around first, as Ultralytics does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

SIZE = 640


def letterbox(bgr: np.ndarray) -> np.ndarray:
    height, width = bgr.shape[:2]
    ratio = min(SIZE / height, SIZE / width)
    w, h = round(width * ratio), round(height * ratio)
    if (w, h) != (width, height):
        bgr = cv2.resize(bgr, (w, h), interpolation=cv2.INTER_LINEAR)
    left, top = round((SIZE - w) / 2 - 0.1), round((SIZE - h) / 2 - 0.1)
    return cv2.copyMakeBorder(
        bgr, top, SIZE - h - top, left, SIZE - w - left, cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )


def plain(bgr: np.ndarray) -> np.ndarray:
    rgb = cv2.cvtColor(letterbox(bgr), cv2.COLOR_BGR2RGB).astype(np.float32) / 255
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])


def lean(bgr: np.ndarray) -> np.ndarray:
    tensor = np.ascontiguousarray(letterbox(bgr)[..., ::-1].transpose(2, 0, 1)[None]).astype(np.float32)
    tensor /= 255
    return tensor


def decode(output: np.ndarray) -> np.ndarray:
    rows = output[0].T
    rows = rows[rows[:, 4] > 0.25]
    boxes = rows[:, :4].copy()
    boxes[:, :2] -= boxes[:, 2:] / 2
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), rows[:, 4].tolist(), 0.25, 0.7)
    keypoints = rows[np.array(kept).reshape(-1), 5:].reshape(-1, 17, 3).copy()
    keypoints[:, :, 1] -= 80
    return keypoints


def crowd(persons: int) -> np.ndarray:
    """An output in which each person is found twice, in boxes apart from the others'."""
    output = np.zeros((1, 56, 8400), np.float32)
    for i in range(2 * persons):
        output[0, :4, i] = (i % persons * 30 + 15, 100, 20, 20)
        output[0, 4, i] = 0.9 - 0.001 * i
    return output


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300, help="timed runs of each way (default 300)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    photo = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    output = crowd(20)
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {"plain": plain, "lean": lean}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.runs):
        for name, way in ways.items():  # in turns, so that a noisy machine is noisy for both
            begin = time.perf_counter()
            way(photo)
            found = decode(output)
            times[name].append(time.perf_counter() - begin)
            assert len(found) == 20
    for name, seconds in times.items():
        print(f"{name}: median {1e3 * float(np.median(seconds)):.2f} ms, least {1e3 * min(seconds):.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
