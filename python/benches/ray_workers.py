"""How much faster two Ray workers are than one: 1,000 pictures on a local cluster of two CPUs, by turns.

    python python/benches/ray_workers.py [--weights F] [--count 1000] [--turns 2] [--at-least 1.7]

The time is that of `googlenet.ray.run` on a cluster that is there already: workers are started, weights opened, pictures listed,
read, decoded and classified, and the table is written. All tables must be equal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import ray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from googlenet import ray as many  # noqa: E402
from many import make_pictures, table  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="a weight file [the demonstration weights]")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--width", type=int, default=500, help="of the pictures, in pixels; their height is two thirds of it")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--at-least", type=float, help="fail if two workers are not so many times as fast as one")
    parser.add_argument("--pictures", type=Path, help="a folder to make the pictures in, or that an earlier call made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        pictures = args.pictures or Path(made) / "pictures"
        if not pictures.exists():
            make_pictures(pictures, args.count, width=args.width)
        ray.init(num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        tables = []
        for turn in range(args.turns):
            for workers in (1, 2):
                out = Path(made) / f"{turn}-{workers}"
                began = time.monotonic()
                outcome = many.run(pictures, out, weights=args.weights, workers=workers, part=25)
                seconds[workers].append(time.monotonic() - began)
                assert (outcome.pictures, outcome.errors) == (args.count, 0)
                tables.append(table(out))
                print(f"{workers} workers: {seconds[workers][-1]:.2f} s", flush=True)
        ray.shutdown()
    assert all(one == tables[0] for one in tables), "tables differ"
    # Of one turn both were measured at much the same time: a machine that others use is faster at one time than at another.
    times = statistics.median(one / two for one, two in zip(seconds[1], seconds[2], strict=True))
    print(f"{args.count} pictures: two workers are {times:.2f} times as fast as one, the median of {args.turns} turns")
    return 0 if args.at_least is None or times >= args.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
