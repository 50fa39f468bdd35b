"""Writes jpeg.json: small JPEGs and the pixels that OpenCV, hence libjpeg-turbo, reads from them.

    pip install opencv-python-headless==5.0.0.93 numpy==2.4.6 && python jpeg.py > jpeg.json
"""

import base64
import json

import cv2
import numpy as np

from letterbox import photograph

RATIOS = {
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}


def row(name: str, img: np.ndarray, flags: list[int]) -> dict[str, object]:
    file = cv2.imencode(".jpg", img, flags)[1]
    pixels = cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return {
        "name": name, "width": img.shape[1], "height": img.shape[0],
        "file": base64.b64encode(file.tobytes()).decode(), "pixels": base64.b64encode(pixels.tobytes()).decode(),
    }


def main() -> None:
    rows = []
    for ratio, factor in RATIOS.items():
        for w, h, progressive in [(17, 11, 0), (16, 8, 1), (4, 3, 0), (1, 1, 0)]:
            img = cv2.GaussianBlur(photograph(w, h), (3, 3), 0)
            flags = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
            rows.append(row(f"ratio={ratio}/size={w}x{h}/progressive={progressive}", img, flags))
    noise = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, RATIOS["444"], cv2.IMWRITE_JPEG_QUALITY, 100]
    rows.append(row("noise, whose high frequencies are strong", photograph(24, 24), noise))
    print(json.dumps({"opencv": cv2.__version__, "jpegs": rows}, indent=1))


if __name__ == "__main__":
    main()
