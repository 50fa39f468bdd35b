"""Make cases of persons annotated and persons found, and ask pycocotools for COCO's ten figures of each.

The same seed gives the same cases. The figures are for posetest/coco to equal.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from files import InputError, write_whole

JOINTS = 17
MIXED = 190  # cases with a bit of everything
FIGURES = ["AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large"]

# A person that stands, as shares of its height: x and y from the upper left.
STAND = [
    (0.20, 0.06), (0.22, 0.04), (0.18, 0.04), (0.25, 0.06), (0.15, 0.06), (0.32, 0.20), (0.08, 0.20), (0.37, 0.36),
    (0.03, 0.36), (0.40, 0.50), (0.00, 0.50), (0.27, 0.53), (0.13, 0.53), (0.28, 0.76), (0.12, 0.76), (0.28, 1.00),
    (0.12, 1.00),
]  # fmt: skip

Points = list[tuple[float, float]]


@dataclass
class Case:
    """Annotations as COCO lays them out, and results as its evaluation takes them."""

    why: str
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    detections: list[dict[str, Any]] = field(default_factory=list)

    def image(self, id: int) -> int:
        self.images.append({"id": id, "file_name": f"{id}.jpg"})
        return id

    def person(
        self,
        image: int,
        points: Points,
        seen: list[int] | None = None,
        area: float | None = None,
        crowd: bool = False,
        labelled: int | None = None,
    ) -> None:
        """An annotation. Seen says of each joint if it is 0 not labelled, 1 hidden or 2 visible."""
        seen = seen or [2] * JOINTS
        xs, ys = [x for x, _ in points], [y for _, y in points]
        width, height = max(xs) - min(xs), max(ys) - min(ys)
        self.annotations.append({
            "id": len(self.annotations) + 1,
            "image_id": image,
            "category_id": 1,
            "keypoints": [n for (x, y), v in zip(points, seen) for n in ((x, y, v) if v else (0, 0, 0))],
            "num_keypoints": sum(v > 0 for v in seen) if labelled is None else labelled,
            "area": round(width * height * 0.53, 2) if area is None else area,
            "bbox": [min(xs), min(ys), width, height],
            "iscrowd": int(crowd),
        })  # fmt: skip

    def found(self, image: int, points: Points, score: float) -> None:
        self.detections.append({
            "image_id": image,
            "category_id": 1,
            "keypoints": [n for x, y in points for n in (x, y, 1)],
            "score": score,
        })  # fmt: skip

    def figures(self) -> list[float]:
        dataset = {"images": self.images, "annotations": self.annotations, "categories": [{"id": 1}]}
        return evaluate(dataset, self.detections)


def evaluate(dataset: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    """What pycocotools says. It writes into what it is given, so that gets copies."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = json.loads(json.dumps(dataset))
        truth.createIndex()
        if detections:
            found = truth.loadRes(json.loads(json.dumps(detections)))
        else:  # loadRes looks at the first one
            found.dataset = truth.dataset | {"annotations": []}
            found.createIndex()
        run = COCOeval(truth, found, "keypoints")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(figure) for figure in run.stats]


def stand(x: float, y: float, height: float) -> Points:
    return [(round(x + dx * height), round(y + dy * height)) for dx, dy in STAND]


def moved(points: Points, by: float) -> Points:
    return [(x + by, y) for x, y in points]


def shaken(draw: random.Random, points: Points, by: float) -> Points:
    return [(x + round(draw.gauss(0, by)), y + round(draw.gauss(0, by))) for x, y in points]


def square(x: float, y: float, side: float) -> Points:
    """Joints on the corners of a square, whose box has exactly that side."""
    corners = [(x, y), (x + side, y), (x, y + side), (x + side, y + side)]
    return [corners[j % 4] for j in range(JOINTS)]


# The cases that each are for one thing. What makes one is called with an empty case; its docstring says why.


def no_images(c: Case) -> None:
    """nothing at all: one image without anybody"""
    c.image(1)


def nobody_found(c: Case) -> None:
    """nobody found"""
    c.person(c.image(1), stand(10, 10, 200))


def nobody_annotated(c: Case) -> None:
    """nobody annotated, somebody found"""
    c.found(c.image(1), stand(10, 10, 200), 0.9)


def perfect(c: Case) -> None:
    """all found, exactly"""
    for image in (3, 1, 2):
        c.image(image)
        for i, height in enumerate((80, 300)):
            c.person(image, stand(200 * i, 10, height))
            c.found(image, stand(200 * i, 10, height), 0.5 + i / 10)


def only_crowd(c: Case) -> None:
    """a crowd alone, and persons found in it, beside it and far from it"""
    c.person(c.image(1), stand(200, 200, 200), seen=[0] * JOINTS, crowd=True)
    for x in (200, 120, 60, 600):
        c.found(1, stand(x, 200, 190), 0.9)


def only_unlabelled(c: Case) -> None:
    """a person without labelled joints alone: the second found there is ignored no more"""
    c.person(c.image(1), stand(200, 200, 200), seen=[0] * JOINTS)
    c.found(1, stand(200, 200, 200), 0.9)
    c.found(1, stand(202, 200, 200), 0.8)
    c.found(1, stand(2_000, 200, 200), 0.7)


def around_unlabelled(c: Case) -> None:
    """near an unlabelled person's box, doubled on all sides, nobody is wrong; farther off one is"""
    c.person(c.image(1), stand(10, 10, 200))
    c.found(1, stand(10, 10, 200), 0.5)
    for i, (dx, dy) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (1, -1), (-1, 1)]):
        for tenths in (9, 11, 12, 13, 15):
            image = c.image(10 * tenths + i)
            c.person(image, stand(400, 400, 200), seen=[0] * JOINTS, crowd=i % 2 == 0)
            width, height = c.annotations[-1]["bbox"][2:]
            by = [(x + dx * width * tenths / 10, y + dy * height * tenths / 10) for x, y in stand(400, 400, 200)]
            c.found(image, by, 0.9 - tenths / 100)


def crowd_beside_persons(c: Case) -> None:
    """a crowd takes any number of persons, but only those that no other person takes"""
    c.image(1)
    c.person(1, stand(300, 100, 300), seen=[0] * JOINTS, crowd=True)
    for x in (280, 380):
        c.person(1, stand(x, 150, 200))
    for i, x in enumerate((280, 300, 320, 380, 384, 400, 1_500)):
        c.found(1, stand(x, 150, 200), 0.9 - i / 10)


def labelled_crowd(c: Case) -> None:
    """a crowd with labelled joints is met by its joints, again and again"""
    c.image(1)
    c.person(1, stand(300, 100, 300), crowd=True)
    c.person(1, stand(600, 100, 300))
    for i, x in enumerate((300, 300, 304, 330, 600, 600)):
        c.found(1, stand(x, 100, 300), 0.9 - i / 10)


def unlabelled_despite_labels(c: Case) -> None:
    """num_keypoints decides about who is ignored, the labels about how similar a person is"""
    c.image(1)
    c.person(1, stand(100, 100, 300), labelled=0)
    c.person(1, stand(400, 100, 300), seen=[0] * JOINTS, labelled=5)
    for i, x in enumerate((100, 100, 400, 400, 440)):
        c.found(1, stand(x, 100, 300), 0.9 - i / 10)


def all_hidden(c: Case) -> None:
    """joints that are all hidden are labelled, and one is enough"""
    c.image(1)
    for i, labelled in enumerate((17, 1)):
        c.person(1, stand(400 * i, 100, 300), seen=[1] * labelled + [0] * (JOINTS - labelled))
        c.found(1, stand(400 * i + 4, 100, 300), 0.8)
        c.found(1, stand(400 * i + 30, 100, 300), 0.9)


def empty_keypoints(c: Case) -> None:
    """an empty list of keypoints, where num_keypoints is 0"""
    c.image(1)
    c.person(1, stand(100, 100, 300), seen=[0] * JOINTS)
    c.annotations[0]["keypoints"] = []
    c.person(1, stand(500, 100, 300))
    for x in (100, 500, 900):
        c.found(1, stand(x, 100, 300), 0.9 - x / 1_000)


def best_twenty(c: Case) -> None:
    """25 found on an image: those beyond the best 20 do not count, right or wrong"""
    c.image(1)
    c.image(2)
    for i in range(25):
        c.found(1, stand(100 * i, 10, 150), (i * 7 % 25) / 25)
        c.person(1, stand(100 * i, 10, 150))
    c.person(2, stand(10, 10, 150))
    c.found(2, stand(10, 10, 150), 0.01)


def best_twenty_of_equals(c: Case) -> None:
    """25 found of one score: the first 20 count"""
    c.image(1)
    for i in range(25):
        c.person(1, stand(100 * i, 10, 150))
        c.found(1, stand(100 * i if i % 3 else -500, 10, 150), 0.5)


def ties_across_images(c: Case) -> None:
    """one score for all: images go by id, whatever the order of the file and of the results"""
    for image in (30, 10, 20, -5):
        c.image(image)
        c.person(image, stand(50, 50, 250))
    for image in (20, 30, -5, 10):
        c.found(image, stand(50 if image in (10, 30) else 900, 50, 250), 0.7)


def ties_within_image(c: Case) -> None:
    """one score for all of an image: the order of the results decides who takes whom"""
    c.image(1)
    c.person(1, stand(50, 50, 250))
    c.person(1, stand(70, 50, 250))
    for x in (62, 58, 50, 70, 500):
        c.found(1, stand(x, 50, 250), 0.7)


def twice_annotated(c: Case) -> None:
    """one person annotated twice: equally similar, the last is taken"""
    c.image(1)
    c.person(1, stand(50, 50, 250))
    c.person(1, stand(50, 50, 250), area=20_000)
    c.person(1, stand(50, 50, 250), area=20_000)
    for score in (0.9, 0.8, 0.7, 0.6):
        c.found(1, stand(52, 50, 250), score)


def twice_found(c: Case) -> None:
    """one person found twice: the second is wrong"""
    c.image(1)
    for x in (50, 300):
        c.person(1, stand(x, 50, 250))
        c.found(1, stand(x, 50, 250), 0.9)
        c.found(1, stand(x, 50, 250), 0.9)


def seven_of_twenty(c: Case) -> None:
    """7 of 20 found: that recall is below 35 × 0.01 as NumPy has it"""
    for image in range(20):
        c.image(image)
        c.person(image, stand(10, 10, 200))
        if image < 7:
            c.found(image, stand(10, 10, 200), 0.9)


def each_hundredth(c: Case) -> None:
    """100 persons on 100 images, every fourth missed, the rest found among wrong ones"""
    for image in range(100):
        c.image(image)
        c.person(image, square(10, 10, 90))
        c.found(image, square(10 if image % 4 else 3_000, 10, 90), round(1 - image / 200, 3))


def similarity_on_thresholds(c: Case) -> None:
    """a similarity of exactly 1/2, 3/5, 7/10, 3/4, 4/5 and 9/10: on a threshold is good enough"""
    for image, (exact, of) in enumerate([(1, 2), (3, 5), (7, 10), (3, 4), (4, 5), (9, 10), (16, 17), (8, 17)]):
        points = stand(100, 100, 300)
        c.person(c.image(image), points, seen=[2] * of + [0] * (JOINTS - of))
        c.found(image, points[:exact] + [(9_000, 9_000)] * (JOINTS - exact), 0.5)


def truth_on_area_borders(c: Case) -> None:
    """areas of exactly 32² and 96², which are in two ranges, and next to them"""
    for image, area in enumerate((1023.99, 1024, 1024.01, 9215.99, 9216, 9216.01, 0, 1e10, 1.0001e10)):
        c.image(image)
        c.person(image, stand(10, 10, 100), area=area)
        c.found(image, moved(stand(10, 10, 100), image % 3), round(0.9 - image / 20, 2))


def wrong_on_area_borders(c: Case) -> None:
    """wrong ones of exactly 32² and 96², and next to them; who is larger than all ranges is not missed"""
    c.image(1)
    for i, side in enumerate((31, 32, 33, 95, 96, 97, 0, 100_000, 100_001)):
        c.found(1, square(5_000, 5_000, side), round(0.9 - i / 20, 2))
    c.person(1, stand(0, 6_000, 200), area=1.0001e10)
    for i, height in enumerate((90, 150, 260, 400)):
        c.person(1, stand(400 * i, 10, height))
        c.found(1, stand(400 * i, 10, height), round(0.88 - i / 10, 2))


def small_truth_found_large(c: Case) -> None:
    """a person of another area range takes a detection away, and makes it ignored"""
    c.image(1)
    c.person(1, stand(10, 10, 200), area=500)
    c.person(1, stand(400, 10, 200), area=5_000)
    c.person(1, stand(800, 10, 200), area=50_000)
    for i, x in enumerate((10, 400, 800, 10, 404, 806)):
        c.found(1, stand(x, 10, 200), 0.9 - i / 10)


def point_person(c: Case) -> None:
    """an area of 0, and all joints in one point"""
    c.image(1)
    c.person(1, [(100, 100)] * JOINTS, area=0)
    c.found(1, [(100, 100)] * JOINTS, 0.9)
    c.found(1, [(101, 100)] * JOINTS, 0.95)


def any_score(c: Case) -> None:
    """scores below 0 and above 1 are scores as well, and 0 and -0 are one"""
    for image, score in enumerate((-3, 0.0, -0.0, 17, 1e-300, -1e300)):
        c.image(image)
        c.person(image, stand(10, 10, 200))
        c.found(image, stand(10 if image % 2 else 14, 10, 200), score)
        c.found(image, stand(500, 10, 200), score)


SINGLE: list[Callable[[Case], None]] = [
    no_images, nobody_found, nobody_annotated, perfect, only_crowd, only_unlabelled, around_unlabelled,
    crowd_beside_persons, labelled_crowd, unlabelled_despite_labels, all_hidden, empty_keypoints, best_twenty,
    best_twenty_of_equals, ties_across_images, ties_within_image, twice_annotated, twice_found, seven_of_twenty,
    each_hundredth, similarity_on_thresholds, truth_on_area_borders, wrong_on_area_borders, small_truth_found_large,
    point_person, any_score,
]  # fmt: skip


def mixed(seed: int) -> Case:
    """A bit of everything, as a model and a set of images would have it."""
    draw = random.Random(seed)
    c = Case(f"mixed {seed}")
    steps = draw.choice([3, 10, 1_000])  # few scores give many ties
    crowded = draw.random() < 0.2
    for image in draw.sample(range(1_000), draw.randint(1, 8)):
        c.image(image)
        for _ in range(draw.choice([0, 0, 1, 1, 2, 3, 5])):
            height = draw.choice([40, 60, 90, 140, 200, 300])
            points = stand(draw.randrange(500), draw.randrange(300), height)
            kind = draw.random()
            seen = [draw.choice([0, 1, 2, 2]) for _ in range(JOINTS)]
            c.person(
                image,
                points,
                seen=[0] * JOINTS if kind < 0.2 else seen,
                crowd=kind < 0.08 or kind > 0.97,
                area=draw.choice([1024, 9216, None, None, None, None]),
            )
            if draw.random() < 0.08:  # the same person, annotated twice
                c.person(image, points, seen=seen)
            for _ in range(draw.choice([0, 1, 1, 1, 2, 3])):
                near = shaken(draw, points, draw.choice([0, 0.01, 0.02, 0.04, 0.1, 0.4]) * height)
                for _ in range(draw.choice([1, 1, 1, 1, 1, 2])):  # exact duplicates
                    c.found(image, near, draw.randint(1, steps) / steps)
        for _ in range(draw.choice([0, 1, 2, 25 if crowded else 0])):
            side = draw.choice([20, 32, 50, 96, 150])
            c.found(image, square(draw.randrange(600), draw.randrange(400), side), draw.randint(1, steps) / steps)
    draw.shuffle(c.detections)
    draw.shuffle(c.annotations)
    return c


def run_cases(args: argparse.Namespace) -> None:
    cases = [Case(make.__doc__ or make.__name__) for make in SINGLE]
    for case, make in zip(cases, SINGLE):
        make(case)
    cases += [mixed(seed) for seed in range(MIXED)]
    lines = [json.dumps(vars(case) | {"figures": case.figures()}, separators=(",", ":")) for case in cases]
    write_whole(args.out, gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))


def run_figures(args: argparse.Namespace) -> None:
    reference = json.loads(args.keypoints.read_text())
    dataset = json.loads(args.annotations.read_text())
    ids = {image["file_name"]: image["id"] for image in dataset["images"]}
    if missing := reference["images"].keys() - ids.keys():
        raise InputError(f"{args.annotations} does not list {min(missing)}: take the annotations of the keypoints' set")
    detections = [
        {
            "image_id": ids[name],
            "category_id": 1,
            "keypoints": [n for point in person["keypoints"] for n in point],
            "score": person["score"],
        }
        for name, persons in reference["images"].items()
        for person in persons
    ]
    print(json.dumps(dict(zip(FIGURES, evaluate(dataset, detections))), indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="examples:\n"
        "  python coco_cases.py cases --out ../posetest/coco/testdata/cases.jsonl.gz\n"
        "  python coco_cases.py figures --annotations person_keypoints_val2017.json --keypoints yolov8n-pose.val2017.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="cases|figures")
    sub = commands.add_parser("cases", help="write the cases, one a line")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .jsonl.gz to write")
    sub.set_defaults(run=run_cases)
    sub = commands.add_parser("figures", help="print the figures of keypoints that a model found")
    sub.add_argument("--annotations", type=Path, required=True, metavar="FILE", help="COCO's keypoint annotations")
    sub.add_argument("--keypoints", type=Path, required=True, metavar="FILE", help='{"images": {file name: [person…]}}')
    sub.set_defaults(run=run_figures)
    args = parser.parse_args()
    try:
        args.run(args)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
