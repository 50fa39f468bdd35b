#!/usr/bin/env python3
"""Tests the tests of the packages that decide: changes an operator at a time, and sees whether a test fails.

    scripts/mutants.py [PACKAGE…]        default: expect golden coco measure

Prints killed and lived by package, and every change that no test noticed. Exit code 1 if less than 90 % die in a package, or if
docs/mutants.md does not explain one that lives, or explains one that does not. The mutants are gremlins'
(https://gremlins.dev), which is built at a pinned version; it works on copies of the project, in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

GREMLINS = "github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0"
PACKAGES = ["expect", "golden", "coco", "measure"]
LEAST = 0.9  # of the mutants of a package that must die
ROOT = Path(__file__).resolve().parent.parent
EXPLAINED = ROOT / "docs" / "mutants.md"

# Beside gremlins' own choice. Those of bits and of assignments are all that it has.
MORE = [
    "--invert-assignments",
    "--invert-bitwise",
    "--invert-bwassign",
    "--invert-logical",
    "--invert-loopctrl",
    "--remove-self-assignments",
]

# Tests that decide nothing of what is changed, and take seconds.
SKIP = "TestUpdateSurvivesKill"

# go test ends with 1, too, if a mutant does not compile; gremlins takes 2 for that.
GO = """#!/bin/sh
ulimit -v 16000000
{go} "$@"
status=$?
if [ "$1" = test ] && [ $status -eq 1 ]; then
  for package; do :; done
  {go} build "$package" >/dev/null 2>&1 || exit 2
fi
exit $status
"""

OPERATOR = re.compile(r"continue|break|<<=|>>=|&\^=|&&|\|\||<<|>>|&\^|[-+*/%&|^<>=!]=|\+\+|--|[-+*/%&|^<>!]")


def mutate(package: str, folder: Path, workers: int) -> list[tuple[str, str]]:
    """The status of each mutant of a package, with its name: file, kind and line, the operator marked."""
    result = folder / f"{package}.json"
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    environment["GOFLAGS"] = f"{os.environ.get('GOFLAGS', '')} -count=1 -vet=off -skip=^{SKIP}$".strip()
    for name in ("POSETEST_DATA", "CI"):  # whoever has no data must get the same figures
        environment.pop(name, None)
    subprocess.run(
        [folder / "gremlins", "unleash", f"./posetest/{package}", "--output", result, "--workers", str(workers)]
        + ["--timeout-coefficient", "5", "--silent", *MORE],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    mutants = []
    for file in json.loads(result.read_text())["files"]:
        path = ROOT / "posetest" / package / Path(file["file_name"]).name
        lines = path.read_bytes().split(b"\n")
        for m in file["mutations"]:
            line, at = lines[m["line"] - 1], m["column"] - 1
            found = OPERATOR.match(line[at:].decode())
            operator = found[0] if found else ""
            marked = f"{line[:at].decode()}«{operator}»{line[at:].decode()[len(operator):]}".strip()
            mutants.append((m["status"], f"{path.relative_to(ROOT)} {m['type']} `{marked}`"))
    return mutants


def explained() -> dict[str, list[str]]:
    """The mutants that docs/mutants.md has a reason for, by package."""
    all_of: dict[str, list[str]] = {}
    for line in EXPLAINED.read_text(encoding="utf-8").splitlines():
        if line.startswith("- posetest/"):
            all_of.setdefault(line.split("/")[1], []).append(line[2:])
    return all_of


def judge(package: str, mutants: list[tuple[str, str]], known: list[str]) -> bool:
    """Prints what became of a package's mutants, and tells whether that is good enough."""
    count = Counter(status for status, _ in mutants)
    dead, lived, unseen = count["KILLED"] + count["TIMED OUT"], count["LIVED"], count["NOT COVERED"]
    share = dead / max(1, dead + lived + unseen)
    print(
        f"{package}: {dead} killed ({count['TIMED OUT']} of them never ended), {lived} lived, {unseen} in lines that no test runs, "
        f"{count['NOT VIABLE']} did not compile: {100 * share:.1f} %"
    )
    alive = sorted({name for status, name in mutants if status in ("LIVED", "NOT COVERED")})
    for name in alive:
        print(f"  {'explained' if name in known else 'NOT EXPLAINED'}: {name}")
    for name in known:
        if name not in alive:
            print(f"  docs/mutants.md explains one that is dead or gone: {name}")
    return share >= LEAST and set(alive) == set(known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    go = shutil.which("go")
    if go is None:
        sys.exit("mutants.py: go is not on the PATH")
    with tempfile.TemporaryDirectory(prefix="posetest-mutants-") as name:
        folder = Path(name)
        subprocess.run([go, "install", GREMLINS], env={**os.environ, "GOBIN": name, "GOFLAGS": ""}, check=True)
        wrapper = folder / "go"
        wrapper.write_text(GO.format(go=go))
        wrapper.chmod(0o755)
        known = explained()
        good = [judge(package, mutate(package, folder, args.workers), known.get(package, [])) for package in args.packages]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
