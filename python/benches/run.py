"""A run from Python against a run in Rust, in turns in one process: `python benches/run.py [WEIGHTS] [--threads N]
[--most 1.02]`.

Python's runs are `session.run(x)`, which copies its input; Rust's are those of `googlenet bench`, which does not. Told are,
by turn, the ratio of the medians and that of the least times, which other programs on the machine disturb less, and of both
the median over all turns. With `--most` it fails where that of the least times is larger.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import googlenet
import numpy as np
from googlenet import _native


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--most", type=float, help="fail if Python takes more than so many times Rust's time")
    args = parser.parse_args()
    model = googlenet.Model.open(args.weights) if args.weights else googlenet.Model.demo()
    session = model.session(threads=args.threads, side=args.side)
    x = np.random.default_rng(1).standard_normal((1, 3, args.side, args.side), dtype=np.float32)

    def python() -> list[float]:
        times = []
        for run in range(args.runs + args.runs // 10):
            begin = time.perf_counter()
            session.run(x)
            times.append(1e3 * (time.perf_counter() - begin))
        return times[args.runs // 10 :]

    weights = [f"--weights={args.weights}"] if args.weights else []
    options = [f"--threads={args.threads}", f"--side={args.side}", f"--runs={args.runs}", "--json", *weights]

    def rust() -> dict[str, float]:
        return json.loads(_native.call(["googlenet", "bench", *options], [])[1])

    medians: tuple[list[float], list[float]] = ([], [])
    least: tuple[list[float], list[float]] = ([], [])
    for turn in range(args.turns):
        # Whoever comes first in one turn comes second in the next.
        for who in ((0, 1), (1, 0))[turn % 2]:
            if who == 0:
                times = python()
                medians[0].append(statistics.median(times))
                least[0].append(min(times))
            else:
                report = rust()
                medians[1].append(report["median_ms"])
                least[1].append(report["min_ms"])
    ratios = [sorted(round(p / r, 4) for p, r in zip(*times)) for times in (medians, least)]
    report = {
        "python_ms": statistics.median(medians[0]),
        "rust_ms": statistics.median(medians[1]),
        "ratio": statistics.median(ratios[0]),
        "ratios": ratios[0],
        "least_python_ms": statistics.median(least[0]),
        "least_rust_ms": statistics.median(least[1]),
        "least_ratio": statistics.median(ratios[1]),
        "least_ratios": ratios[1],
        "threads": args.threads,
        "side": args.side,
        "isa": session.isa,
    }
    print(json.dumps(report, indent=1))
    return 0 if args.most is None or report["least_ratio"] <= args.most else 1


if __name__ == "__main__":
    sys.exit(main())
