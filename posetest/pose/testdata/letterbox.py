"""Writes letterbox.json: what OpenCV makes of generated photographs.

    pip install --require-hashes -r scripts/requirements-testdata.txt && python letterbox.py > letterbox.json

The letterbox is Ultralytics' LetterBox (auto=False, scaleup=True) on 8-bit RGB with cv2.resize's INTER_LINEAR.
"""

import hashlib
import json

import cv2
import numpy as np

SIZES = [  # photograph w, h, canvas w, h
    (7, 5, 16, 16), (16, 12, 16, 16), (32, 20, 16, 16), (5, 3, 8, 8),
    (1, 1, 64, 64), (1, 2, 64, 64), (640, 1, 64, 64), (640, 480, 640, 640), (480, 640, 640, 640), (500, 375, 640, 640),
    (333, 500, 640, 640), (1280, 960, 640, 640), (1281, 961, 640, 640), (1920, 1080, 640, 640), (97, 613, 640, 384),
    (2000, 1500, 192, 192), (427, 640, 256, 256), (3000, 31, 640, 640),
]


def photograph(w: int, h: int) -> np.ndarray:
    """Noise, a ramp and a checkerboard, one a channel, from integers alone."""
    y, x = np.mgrid[0:h, 0:w].astype(np.uint64)
    noise = ((x * 73856093) ^ (y * 19349663)) * 2654435761 >> 13 & 255
    return np.stack([noise, (3 * x + 5 * y) & 255, ((x ^ y) & 1) * 255], axis=2).astype(np.uint8)


def letterbox(img: np.ndarray, width: int, height: int) -> np.ndarray:
    h, w = img.shape[:2]
    r = min(width / w, height / h)
    nw, nh = max(1, round(w * r)), max(1, round(h * r))
    dw, dh = (width - nw) / 2, (height - nh) / 2
    if (w, h) != (nw, nh):
        img = cv2.resize(img, (nw, nh), interpolation=cv2.INTER_LINEAR)
    left, top = round(dw - 0.1), round(dh - 0.1)
    return cv2.copyMakeBorder(img, top, height - nh - top, left, width - nw - left, cv2.BORDER_CONSTANT, value=(114, 114, 114))


def main() -> None:
    rows = []
    for w, h, width, height in SIZES:
        out = letterbox(photograph(w, h), width, height).tobytes()
        row = {"w": w, "h": h, "width": width, "height": height, "sha256": hashlib.sha256(out).hexdigest()}
        if len(out) <= 768:
            row["pixels"] = out.hex()
        rows.append(row)
    print(json.dumps({"opencv": cv2.__version__, "letterboxes": rows}, indent=1))


if __name__ == "__main__":
    main()
