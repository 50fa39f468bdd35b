"""Writes oks.json: the object keypoint similarity of generated persons, as pycocotools computes it.

    pip install --require-hashes -r scripts/requirements-testdata.txt && python oks.py > oks.json
"""

import contextlib
import json
import os
import random

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

JOINTS = 17
CASES = [  # what it is for, area of the truth, how far the person's joints are off in pixels, how v is drawn
    ("all joints visible, a large person", 52_000.0, 6.0, [2]),
    ("all joints visible, a small person", 900.0, 1.5, [2]),
    ("hidden joints count as visible ones do", 20_000.0, 8.0, [1]),
    ("joints without a label do not count", 20_000.0, 8.0, [0, 1, 2]),
    ("most joints without a label", 20_000.0, 8.0, [0, 0, 0, 0, 2]),
    ("the person is exactly the truth", 20_000.0, 0.0, [1, 2]),
    ("far off", 20_000.0, 90.0, [1, 2]),
    ("so far off that nothing is left", 20_000.0, 4_000.0, [2]),
    ("an area below a pixel", 0.25, 0.5, [2]),
    ("no area: only a perfect joint counts", 0.0, 0.1, [2]),
    ("no area, and the person is exactly the truth", 0.0, 0.0, [2]),
    ("a very large area, fractions of pixels", 123_456.789, 33.3, [0, 1, 2, 2]),
]


def oks(truth: list[float], person: list[float], area: float) -> float:
    labelled = sum(v > 0 for v in truth[2::3])
    box = [0, 0, 1, 1]
    gt, dt = COCO(), COCO()
    gt.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "keypoints": truth, "num_keypoints": labelled, "area": area, "bbox": box, "iscrowd": 0}]}
    dt.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "keypoints": person, "score": 1.0, "area": 1.0, "bbox": box}]}
    gt.createIndex()
    dt.createIndex()
    ev = COCOeval(gt, dt, "keypoints")
    ev.params.imgIds, ev.params.catIds = [1], [1]
    ev._prepare()
    return float(ev.computeOks(1, 1)[0, 0])


def main() -> None:
    draw = random.Random(1)
    cases = []
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        for why, area, off, vs in CASES:
            truth, person = [], []
            for _ in range(JOINTS):
                x, y, v = round(draw.uniform(0, 640), 2), round(draw.uniform(0, 480), 2), draw.choice(vs)
                person += [x + round(draw.gauss(0, off), 3), y + round(draw.gauss(0, off), 3), 0.9]
                truth += [x, y, v] if v else [0, 0, 0]
            cases.append({"why": why, "area": area, "truth": truth, "person": person, "oks": oks(truth, person, area)})
    text = ",\n".join(" " + json.dumps(c) for c in cases)
    print(f'{{"made_with": "pycocotools 2.0.10", "cases": [\n{text}\n]}}')


if __name__ == "__main__":
    main()
