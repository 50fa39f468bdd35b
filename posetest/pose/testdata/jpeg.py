"""Writes jpeg.json: small JPEGs and the pixels that OpenCV, hence libjpeg-turbo, reads from them.

    pip install --require-hashes -r scripts/requirements-testdata.txt && python jpeg.py > jpeg.json
"""

import base64
import io
import json

import cv2
import numpy as np
from PIL import Image

from letterbox import photograph

RATIOS = {
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}


def row(name: str, img: np.ndarray, flags: list[int]) -> dict[str, object]:
    return read(name, cv2.imencode(".jpg", img, flags)[1].tobytes())


def read(name: str, file: bytes, within: int = 0) -> dict[str, object]:
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return {
        "name": name, "width": pixels.shape[1], "height": pixels.shape[0], "within": within,
        "file": base64.b64encode(file).decode(), "pixels": base64.b64encode(pixels.tobytes()).decode(),
    }


def cmyk(img: np.ndarray) -> bytes:
    """As Adobe's programs write it, inverted; Pillow has no black of its own, so it takes some from the colours."""
    colours = 255 - cv2.cvtColor(img, cv2.COLOR_BGR2RGB)
    black = colours.min(axis=2, keepdims=True) // 2
    file = io.BytesIO()
    Image.fromarray(np.concatenate([colours - black, black], axis=2), "CMYK").save(file, "JPEG", quality=90)
    return file.getvalue()


def main() -> None:
    rows = []
    for ratio, factor in RATIOS.items():
        for w, h, progressive in [(17, 11, 0), (16, 8, 1), (4, 3, 0), (1, 1, 0)]:
            img = cv2.GaussianBlur(photograph(w, h), (3, 3), 0)
            flags = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
            rows.append(row(f"ratio={ratio}/size={w}x{h}/progressive={progressive}", img, flags))
    noise = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, RATIOS["444"], cv2.IMWRITE_JPEG_QUALITY, 100]
    rows.append(row("noise, whose high frequencies are strong", photograph(24, 24), noise))
    smooth = cv2.GaussianBlur(photograph(17, 11), (3, 3), 0)
    rows.append(row("grey", cv2.cvtColor(smooth, cv2.COLOR_BGR2GRAY), [cv2.IMWRITE_JPEG_QUALITY, 90]))
    rows.append(read("CMYK", cmyk(smooth)))
    ycck = bytearray(cmyk(smooth))
    ycck[ycck.index(b"Adobe") + 11] = 2  # the same bytes, said to be YCCK
    rows.append(read("YCCK", bytes(ycck), within=1))
    print(json.dumps({"opencv": cv2.__version__, "jpegs": rows}, indent=1))


if __name__ == "__main__":
    main()
