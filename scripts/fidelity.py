"""Hold posetest's times to those of Python's onnxruntime: the same runtime, model, threads, options and input.

All open their sessions in this run and take turns, in random order: a posetest worker, which is asked over the worker's
protocol and times itself (posetest/worker), and Python here, twice: its own module, and the library that posetest opens,
through its C API. For Python's package holds two builds of one version: the module has a runtime of its own linked into it,
and that and the library beside it are not equally fast. A turn is some runs, and a pair the median ratio in some turns, as
posetest takes it: docs/gate.md. The answers are ratios with their exact intervals of 95 %, after Wilcoxon, Hodges and Lehmann.

Exit codes, of posetest against Python with the same library: 0 the interval is within the limit, 1 it is outside, 2 it is
neither, or something is missing.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from files import InputError

PROTOCOL = 2  # protocolVersion of posetest/worker/protocol.go
WARM_UPS = 5
EDGE = math.log(1.1)  # edge of posetest/contest.go
TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}
ELEMENTS = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7}  # ONNXTensorElementDataType
Times = tuple[float, float]  # of a run in seconds: on the clock, and of the whole process on processors
Turn = Callable[[], list[Times]]


class Worker:
    """A posetest worker: requests on its standard input, replies on its file descriptor 3, both lines of JSON."""

    def __init__(self, program: Path) -> None:
        read, write = os.pipe()

        def replies_on_3() -> None:
            os.set_inheritable(write, True)
            os.dup2(write, 3)

        environment = {"POSETEST_WORKER": "1", "PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "")}
        # Python's own descriptors are not inheritable, so that none needs to be closed.
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, close_fds=False,
            preexec_fn=replies_on_3, process_group=0,
        )  # fmt: skip
        os.close(write)
        self.replies = os.fdopen(read, "rb")
        hello = self.reply("start")
        if hello.get("protocol") != PROTOCOL:
            raise InputError(f"{program} speaks another protocol than this script's {PROTOCOL}: build it from this commit")

    def reply(self, during: str) -> dict[str, Any]:
        line = self.replies.readline()
        if not line:
            raise InputError(f"the posetest worker ended during {during}: its words are above")
        answer: dict[str, Any] = json.loads(line)
        if "refusal" in answer:
            raise InputError(f"the posetest worker refuses to {during}: {answer['refusal']['message']}")
        return answer

    def ask(self, name: str, value: object) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({name: value}).encode() + b"\n")
        self.process.stdin.flush()
        return self.reply(name)

    def close(self) -> None:
        self.ask("close", True)
        self.process.communicate(timeout=10)
        self.replies.close()


class Library:
    """The C API of a runtime's library. Its functions are told by their place in struct OrtApi of onnxruntime_c_api.h,
    which no version changes; each takes words only, and returns a status that is null if all is well."""

    PLACES = {
        "GetErrorMessage": 2, "CreateEnv": 3, "CreateSession": 7, "Run": 9, "CreateSessionOptions": 10,
        "SetSessionLogSeverityLevel": 22, "SetIntraOpNumThreads": 24, "SetInterOpNumThreads": 25,
        "CreateTensorWithDataAsOrtValue": 49, "CreateCpuMemoryInfo": 69, "RunWithBinding": 133, "CreateIoBinding": 134,
        "BindInput": 136, "BindOutput": 137,
    }  # fmt: skip
    VERSION = 22  # of the API, as posetest asks for

    def __init__(self, path: Path) -> None:
        base = ctypes.CDLL(str(path)).OrtGetApiBase
        base.restype = ctypes.POINTER(ctypes.c_void_p)
        get_api = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(base()[0])
        self.table = ctypes.cast(get_api(self.VERSION), ctypes.POINTER(ctypes.c_void_p))

    def function(self, name: str, words: int) -> Callable[..., int | None]:
        return ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * words)(self.table[self.PLACES[name]])

    def call(self, name: str, *words: object) -> None:
        status = self.function(name, len(words))(*words)
        if status:
            message = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(self.table[self.PLACES["GetErrorMessage"]])(status)
            raise InputError(f"{name}: {message.decode()}")

    def make(self, name: str, *words: object) -> ctypes.c_void_p:
        """Call a function whose last argument is where it puts what it makes."""
        made = ctypes.c_void_p()
        self.call(name, *words, ctypes.byref(made))
        return made

    def value(self, array: np.ndarray) -> ctypes.c_void_p:
        """A tensor in NumPy's memory, which must be kept as long."""
        info = self.make("CreateCpuMemoryInfo", 1, 0)  # of the arena, for what is usual
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        return self.make(
            "CreateTensorWithDataAsOrtValue", info, array.ctypes.data, array.nbytes, shape, array.ndim, ELEMENTS[array.dtype.name]
        )


def timed(run: Callable[[], object], runs: int, memory: list[np.ndarray]) -> Turn:
    """A turn of so many runs. The memory is what they use: a binding uses NumPy's, and does not keep it."""

    def once() -> Times:
        cpu, begin = time.process_time(), time.perf_counter()
        run()
        return time.perf_counter() - begin, time.process_time() - cpu

    return lambda memory=memory: [once() for _ in range(runs)]


def library_side(args: argparse.Namespace, session: onnxruntime.InferenceSession) -> Turn:
    """The library that posetest opens, from here; session says what the model's tensors are."""
    library = Library(args.library.resolve())
    options = library.make("CreateSessionOptions")
    library.call("SetIntraOpNumThreads", options, args.threads)
    library.call("SetInterOpNumThreads", options, 1)
    library.call("SetSessionLogSeverityLevel", options, 2)
    opened = library.make("CreateSession", library.make("CreateEnv", 2, b"fidelity"), str(args.model.resolve()).encode(), options)
    tensor = np.load(args.tensor)
    names = [session.get_inputs()[0].name, *[o.name for o in session.get_outputs()]]
    expected = session.run(None, {names[0]: tensor})
    memory = [tensor, *[np.zeros_like(e) for e in expected]]
    values = [library.value(array) for array in memory]
    if args.plain:
        run = library.function("Run", 8)
        words = [(ctypes.c_char_p * len(n))(*[m.encode() for m in n]) for n in (names[:1], names[1:])]
        tensors = [(ctypes.c_void_p * len(v))(*[t.value for t in v]) for v in (values[:1], values[1:])]
        arguments: list[object] = [opened, None, words[0], tensors[0], 1, words[1], len(names) - 1, tensors[1]]
    else:
        binding = library.make("CreateIoBinding", opened)
        for name, value, bind in zip(names, values, ["BindInput"] + ["BindOutput"] * (len(names) - 1), strict=True):
            library.call(bind, binding, name.encode(), value)
        run, arguments = library.function("RunWithBinding", 3), [opened, None, binding]

    def checked() -> None:
        if run(*arguments):
            raise InputError(f"{args.library} refuses to run {args.model}")

    checked()
    for got, want in zip(memory[1:], expected, strict=True):
        if not np.allclose(got, want, rtol=1e-3, atol=1e-3):
            raise InputError(f"{args.library} does not compute what Python's module computes; give the one of its package")
    return timed(checked, args.runs, memory)


def python_side(args: argparse.Namespace) -> tuple[Turn, onnxruntime.InferenceSession]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    options.log_severity_level = 2
    session = onnxruntime.InferenceSession(str(args.model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    tensor = np.load(args.tensor)
    memory = [tensor, *session.run(None, {name: tensor})]
    binding = session.io_binding()
    for bind, value, array in zip(
        [binding.bind_ortvalue_input, *[binding.bind_ortvalue_output] * (len(memory) - 1)],
        [*session.get_inputs(), *session.get_outputs()],
        memory,
        strict=True,
    ):
        bind(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(array))

    if args.plain:
        return timed(lambda: session.run(None, {name: tensor}), args.runs, memory), session
    return timed(lambda: session.run_with_iobinding(binding), args.runs, memory), session


def posetest_side(
    args: argparse.Namespace, session: onnxruntime.InferenceSession
) -> tuple[Turn, Worker]:
    def described(values: list[Any]) -> list[dict[str, Any]]:
        return [
            {"name": v.name, "type": TYPES[v.type], "shape": [d if isinstance(d, int) else -1 for d in v.shape]}
            for v in values
        ]

    worker = Worker(args.posetest.resolve())
    version = worker.ask("library", str(args.library.resolve()))["version"]
    if version != onnxruntime.__version__:
        raise InputError(
            f"{args.library} is ONNX Runtime {version}, and Python has {onnxruntime.__version__}; name one of that version"
        )
    worker.ask("open", {
        "path": str(args.model.resolve()), "family": args.family, "provider": "cpu", "threads": args.threads,
        "inputs": described(session.get_inputs()), "outputs": described(session.get_outputs()), "tuning": {"quiet": True},
    })  # fmt: skip
    worker.ask("infer", {"image": str(args.image.resolve()), "options": {}})
    timing = {"runs": args.runs, "binding": "copy" if args.plain else args.binding}

    def turn() -> list[Times]:
        return [(run["wall_ns"] / 1e9, run["cpu_ns"] / 1e9) for run in worker.ask("time", timing)["runs"]]

    return turn, worker


def rounds(args: argparse.Namespace) -> list[list[list[Times]]]:
    """Turns of each side, round by round; all start anew after some, since memory may lie well or badly."""
    order = random.Random(args.seed)
    all_rounds = []
    while len(all_rounds) < args.pairs:
        python, session = python_side(args)
        posetest, worker = posetest_side(args, session)
        sides = [python, library_side(args, session), posetest]
        for _ in range(WARM_UPS):
            for side in sides:
                side()
        for _ in range(min(args.restarts, args.pairs - len(all_rounds))):
            turns: list[list[Times]] = [[], [], []]
            for _ in range(args.turns):
                for i in order.sample(range(3), 3):
                    turns[i].extend(sides[i]())
            all_rounds.append(turns)
        worker.close()
        print(f"{len(all_rounds)} of {args.pairs} pairs", file=sys.stderr)
    return all_rounds


def signed_rank_bound(n: int, share: float) -> int:
    """The largest k, at least 1, for which the sum of the signed ranks of n is below k in at most that share of cases."""
    ways = [1]
    for rank in range(1, n + 1):
        ways = [a + b for a, b in zip(ways + [0] * rank, [0] * rank + ways, strict=True)]
    below = 0
    for k, count in enumerate(ways):
        below += count
        if below > share * 2**n:
            return max(k, 1)
    return 1


def neighbours(a: list[Times], b: list[Times], clock: int) -> list[float]:
    """Logarithms of b / a, of each run and the other side's at the same place in the round, and before and after it."""
    return [math.log(y[clock] / x[clock]) for i, x in enumerate(a) for y in b[max(0, i - 1) : i + 2]]


def typical(rounds: list[tuple[list[Times], list[Times]]], clock: int) -> list[float]:
    """The logarithm of b / a that is the median in each round, without those that are by a tenth away from all rounds' median."""
    ratios = [neighbours(a, b, clock) for a, b in rounds]
    middle = statistics.median(r for of_one in ratios for r in of_one)
    return [statistics.median([r for r in of_one if abs(r - middle) <= EDGE] or of_one) for of_one in ratios]


def ratio(logs: list[float]) -> tuple[float, float, float]:
    """b / a: Hodges and Lehmann's estimate, and the exact interval of 95 % that belongs to Wilcoxon's test."""
    means = sorted((x + y) / 2 for i, x in enumerate(logs) for y in logs[i:])
    k = signed_rank_bound(len(logs), 0.025)
    middle = (means[(len(means) - 1) // 2] + means[len(means) // 2]) / 2
    return math.exp(middle), math.exp(means[k - 1]), math.exp(means[-k])


def compare(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [args.posetest.resolve(), "tensors", "--model", args.model, "--family", args.family, "--out", folder, args.image],
            check=True,
        )
        (args.tensor,) = Path(folder).glob("*.npy")
        measured = rounds(args)
    print(f"ONNX Runtime {onnxruntime.__version__}, {args.model.name}, {args.threads} threads, {platform.machine()}")
    module, library, posetest = range(3)
    names = ["Python's module", "the library from Python", "posetest"]
    code = 0
    for one, other in [(posetest, library), (posetest, module), (library, module)]:
        for k, clock in enumerate(["wall", "cpu"]):
            middle, low, high = ratio(typical([(a_round[other], a_round[one]) for a_round in measured], k))
            fastest = [min(run[k] for a_round in measured for run in a_round[i]) for i in (one, other)]
            within, outside = max(high - 1, 1 - low) <= args.limit, low > 1 + args.limit or high < 1 - args.limit
            verdict = f"{'within' if within else 'not within' if outside else 'too noisy to say whether within'} {args.limit:.1%}"
            print(
                f"{clock}: {names[one]} / {names[other]} = {middle:.4f} [{low:.4f}, {high:.4f}] over {len(measured)} pairs: {verdict}"
                f" (least: {1e3 * fastest[0]:.3f} ms and {1e3 * fastest[1]:.3f} ms)"
            )
            if (one, other, k) == (posetest, library, 0):
                code = 0 if within else 1 if outside else 2
    return code


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python fidelity.py --model models/movenet-lightning.onnx --family movenet --image fixtures/astronaut.png",
    )
    capi = Path(onnxruntime.__file__).parent / "capi"
    parser.add_argument("--model", type=Path, required=True, metavar="FILE")
    parser.add_argument("--family", required=True, help="the model's, as `posetest` names it")
    parser.add_argument("--image", type=Path, required=True, metavar="FILE", help="what both run")
    parser.add_argument("--posetest", type=Path, default=Path("bin/posetest"), metavar="PROGRAM", help="default bin/posetest")
    parser.add_argument(
        "--library", type=Path, default=capi / f"libonnxruntime.so.{onnxruntime.__version__}", metavar="FILE",
        help="the runtime for posetest; default: that of Python's package",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="of one operator; default 1")
    parser.add_argument("--binding", choices=["", "bound"], default="", help="posetest's way; default: tensors used again")
    parser.add_argument("--plain", action="store_true", help="Python's session.run against posetest's binding=copy")
    parser.add_argument("--pairs", type=int, default=100, help="default 100")
    parser.add_argument("--turns", type=int, default=4, help="of each side in a pair; default 4")
    parser.add_argument("--runs", type=int, default=3, help="of a turn; default 3")
    parser.add_argument("--restarts", type=int, default=5, help="pairs before both start anew; default 5")
    parser.add_argument("--limit", type=float, default=0.01, help="default 0.01, which is 1 %%")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns")
    args = parser.parse_args()
    if args.pairs < 6 or min(args.turns, args.runs, args.restarts) < 1:
        parser.error("give 6 pairs or more, for fewer have no interval of 95 %; and 1 turn, run and pair before restarts")
    try:
        return compare(args)
    except (InputError, OSError, subprocess.CalledProcessError) as err:
        print(f"fidelity.py: {err}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
