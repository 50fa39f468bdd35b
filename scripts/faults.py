"""Write what `go test -json -run TestFaults ./...` prints on standard input as a table, between the marks of a page.

A fault is a sub-test of a TestFaults, with the promise that it checks as the attribute "promise" (testing.T.Attr).

Exit codes: 0 all promises held, 1 one did not, 2 the input or the page is not what it must be.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from files import InputError, write_whole

BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->\n"


@dataclass
class Fault:
    package: str
    name: str
    promise: list[str] = field(default_factory=list)
    result: str = ""  # pass, fail or skip
    seconds: float = 0


def read(lines: list[str]) -> list[Fault]:
    faults: dict[tuple[str, str], Fault] = {}
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except ValueError as err:
            raise InputError(f"line {number} of standard input is no JSON; give it the output of go test -json: {line[:80]!r}") from err
        test = event.get("Test", "")
        if event["Action"] == "build-fail" or (event["Action"] == "fail" and "Test" not in event and event.get("FailedBuild")):
            raise InputError(f"{event.get('ImportPath', event.get('Package'))} was not built; run go vet ./...")
        if not test.startswith("TestFaults/"):
            continue
        key = (event["Package"], test)
        fault = faults.setdefault(key, Fault(event["Package"].rpartition("/")[2], test.partition("/")[2].replace("_", " ")))
        if event["Action"] == "attr" and event["Key"] == "promise":
            fault.promise.append(event["Value"])
        elif event["Action"] in ("pass", "fail", "skip"):
            fault.result, fault.seconds = event["Action"], event["Elapsed"]
    tried = [fault for fault in faults.values() if fault.promise]
    if not tried:
        raise InputError("no sub-test of a TestFaults with a promise is in it")
    if cut := [fault.name for fault in tried if not fault.result]:
        raise InputError(f"{len(cut)} faults have no result, such as {cut[0]!r}: the run was cut")
    return tried


def table(faults: list[Fault]) -> str:
    held = sum(fault.result == "pass" for fault in faults)
    lines = [f"{len(faults)} faults tried, {held} survived, {len(faults) - held} lost.", "", "| where | fault | promises | held |", "|---|---|---|---|"]
    lines += [
        f"| {fault.package} | {fault.name} | {', '.join(fault.promise)} | {'yes' if fault.result == 'pass' else '**no**'} |"
        for fault in sorted(faults, key=lambda fault: (fault.package, fault.name))
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="the page to write into, such as docs/reliability.md")
    args = parser.parse_args()
    try:
        faults = read(sys.stdin.read().splitlines())
        text = args.page.read_text(encoding="utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise InputError(f"{args.page} lacks the lines {BEGIN.strip()} and {END.strip()}, between which the table goes")
        write_whole(args.page, (before + begin + table(faults) + end + after).encode())
    except (InputError, OSError) as err:
        print(f"faults.py: {err}", file=sys.stderr)
        return 2
    for fault in faults:
        if fault.result != "pass":
            print(f"faults.py: {fault.package}: {fault.name}: {fault.result}", file=sys.stderr)
    return 0 if all(fault.result == "pass" for fault in faults) else 1


if __name__ == "__main__":
    sys.exit(main())
