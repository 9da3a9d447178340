#!/usr/bin/env python3
"""GoogLeNet, or another network, in this engine and in others, on the same weights and input, in turns. README.md says how to use it."""

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import prepare

NETWORKS = ["bvlc-alexnet", "caffenet", "zeiler-fergus", "zfnet512", "naive"]  # networks.py, which has them, needs packages of the environment

CASES = [(1, 1), (1, 2), (8, 2)]  # batch, threads
ENGINES = "googlenet googlenet_avx2 googlenet_f16 onnxruntime openvino openvino_streams openvino_default ncnn mnn".split()
OF_OTHERS = "googlenet googlenet_f16 onnxruntime openvino".split()
# By the largest logit. A single rounding to f32 is 6e-8, to bf16 4e-3; only `openvino_default` may be that coarse.
F32_ERROR, LOW_ERROR = 1e-4, 0.1


def arguments():
    root = Path(__file__).resolve().parents[2]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--folder", type=Path, default=cache / "googlenet-peers", help="for environment and models")
    p.add_argument("--data", type=Path, default=root / "../shared/googlenet", help="ONNX graph and reference")
    p.add_argument("--binary", type=Path, default=root / "target/release/googlenet")
    p.add_argument("--weights", type=Path, help="for the binary [default: converted from the ONNX graph]")
    p.add_argument("--network", choices=["bvlc", *NETWORKS], default="bvlc", help="others have seeded weights")
    p.add_argument("--engines", nargs="+", choices=ENGINES, help="[default: all; of other networks than bvlc some]")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--runs", type=int, default=40, help="of a round and engine; a quarter of them at batch 8")
    p.add_argument("--record", type=Path, help="the file to write [default: benches/record/DATE-peers.md or its like]")
    args = p.parse_args()
    what = "peers" if args.network == "bvlc" else f"peers-{args.network}"
    args.record = args.record or root / f"benches/record/{datetime.date.today()}-{what}.md"
    args.environment = args.folder = args.folder.absolute()
    if args.network != "bvlc":
        args.folder /= args.network
    args.engines = args.engines or (ENGINES if args.network == "bvlc" else OF_OTHERS)
    args.weights = args.weights or args.folder / "googlenet.safetensors"
    return args


class Engine:
    """An engine in one case: what its check found, and the times of its rounds."""

    def __init__(self, args, name, batch, threads):
        self.args, self.name, self.batch, self.threads = args, name, batch, threads
        self.ours = name.startswith("googlenet")
        self.env = os.environ | ({"GOOGLENET_ISA": "avx2"} if name == "googlenet_avx2" else {})
        # The same weights stored as f16, which round them: an engine of f32 sums on other numbers.
        self.weights = args.folder / "half.safetensors" if name == "googlenet_f16" else args.weights
        self.rounds = []
        self.found = self.check_ours() if self.ours else self.peer("check")
        self.f32 = self.found["error"] <= F32_ERROR and self.found["top5"]
        coarse = name in ("openvino_default", "googlenet_f16") and self.found["error"] <= LOW_ERROR
        if not (self.f32 or coarse):
            raise RuntimeError(f"error {self.found['error']:.1e}, top 5 {'right' if self.found['top5'] else 'wrong'}")

    def run(self, command):
        done = subprocess.run([str(c) for c in command], env=self.env, capture_output=True, text=True, timeout=300)
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["no word"]
            raise RuntimeError(f"exit code {done.returncode}: {words[-1]}")
        return done.stdout

    def peer(self, what):
        script = [sys.executable, prepare.HERE / "engine.py"]
        return json.loads(self.run([*script, self.name, self.args.folder, self.batch, self.threads, what]))

    def check_ours(self):
        import numpy as np
        from engine import error

        with tempfile.TemporaryDirectory() as temporary:
            files = ["--input", self.args.folder / "input.npy", "--output", f"{temporary}/y.npy"]
            self.run([self.args.binary, "run", "--weights", self.weights, "--threads", self.threads, *files])
            found = error(np.load(f"{temporary}/y.npy"), np.load(self.args.folder / "logits.npy"))
        return found | {"version": self.run([self.args.binary, "--version"]).split()[-1], "remark": ""}

    def round(self, runs):
        if self.ours:
            size = ["--threads", self.threads, "--batch", self.batch, "--runs", runs]
            got = json.loads(self.run([self.args.binary, "bench", "--json", "--weights", self.weights, *size]))
            self.found["remark"] = got["isa"]
        else:
            got = self.peer(runs)
        self.rounds.append(got)

    def median(self):
        return statistics.median(r["median_ms"] for r in self.rounds)

    def min(self):
        return min(r["min_ms"] for r in self.rounds)


def measure(args, batch, threads):
    """The engines of one case that passed, timed; and a line for each that did not."""
    os.sched_setaffinity(0, sorted(CPUS)[:threads])  # children inherit it
    engines, failed = [], []
    same = {"googlenet_avx2": isa() != "AVX-512", "openvino_streams": batch == 1}  # as the plain row
    same["googlenet_f16"] = args.network == "bvlc"  # its weights are small
    for name in args.engines:
        if same.get(name):
            continue
        try:
            engines.append(Engine(args, name, batch, threads))
        except (RuntimeError, subprocess.TimeoutExpired) as why:
            failed.append(f"{name} is left out: {why}")
    for i in range(args.rounds):
        print(f"batch {batch}, threads {threads}, round {i + 1}", file=sys.stderr)
        for engine in engines[:: -1 if i % 2 else 1]:
            try:
                engine.round(args.runs if batch == 1 else max(1, args.runs // 4))
            except (RuntimeError, subprocess.TimeoutExpired) as why:
                engines.remove(engine)
                failed.append(f"{engine.name} is left out: {why}")
    return engines, failed


def table(batch, threads, engines, failed):
    lines = [f"## Batch {batch}, threads {threads}", ""]
    lines.append("| engine | version | how | ms an image, median | min | images/s | ours / theirs | error |")
    lines.append("| --- | --- | --- | --: | --: | --: | --: | --: |")
    ours = next((e for e in engines if e.name == "googlenet"), None)
    for e in sorted(engines, key=Engine.median):
        ratio = f"{ours.median() / e.median():.3f}" if ours and e is not ours else ""
        how = e.found["remark"] + ("" if e.f32 else " (not f32)")
        times = f"{e.median():.2f} | {e.min():.2f} | {1e3 / e.median():.1f}"
        lines.append(f"| {e.name} | {e.found['version']} | {how} | {times} | {ratio} | {e.found['error']:.1e} |")
    lines += ["", *failed]
    peers = [e for e in engines if e.f32 and not e.ours]
    if ours and peers:
        best = min(peers, key=Engine.median)
        ratio = ours.median() / best.median()
        speed = f"{ratio:.3f} of its time ({1 / ratio:.2f} times its speed)"
        peak = max(r["fma_peak_gmacs"] for r in ours.rounds)
        lines.append(f"Fastest other f32 engine: {best.name}; ours takes {speed}.")
        lines.append(f"Multiply-add peak on as many threads, measured in the same runs: {peak:.1f} GMAC/s.")
    return "\n".join(lines + [""])


def head(args):
    """What a reader must know of the run."""
    commit = output("git", "describe", "--always", "--dirty", "--exclude=*")
    command = [Path(a).name if a.startswith("/") else a for a in sys.argv[1:]]
    runs = f"{args.rounds} rounds of {args.runs} runs ({max(1, args.runs // 4)} at batch 8) after warm-up"
    of = "BVLC weights, 224x224" if args.network == "bvlc" else f"{args.network}, seeded weights, its own side"
    load = f"Load before: {os.getloadavg()[0]:.2f}"
    return f"""# Other engines, {datetime.date.today()}

{cpuinfo("model name")} ({isa()}), {len(CPUS)} cores, {platform.system()} {platform.machine()}; commit {commit}, \
{output("rustc", "--version")}, RUSTFLAGS "{os.environ.get("RUSTFLAGS", "")}"; Python {platform.python_version()}. \
{load}.

    {shlex.join(["python3", "benches/peers/compare.py", *command])}

{of}, weights {args.weights.name}. {runs}; the engines take turns, each round in a process of its \
own, bound to as many cores as it has threads. Median: of the rounds' medians. Error: largest of a logit against f64, \
by the image's largest logit, over the reference images.
"""


def isa():
    flags = cpuinfo("flags").split()
    return next((name for flag, name in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in flags), "no AVX2")


def cpuinfo(key):
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def output(*command):
    done = subprocess.run(command, cwd=prepare.HERE, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main():
    args = arguments()
    prepare.enter_environment(args.environment)
    if args.network == "bvlc":
        reference = args.data / "reference.safetensors"
        prepare.models(args.folder, args.data / "bvlc_googlenet.onnx", reference, args.binary)
    else:
        prepare.seeded(args.folder, args.network, args.binary)
    parts = [head(args)]
    print(parts[0])
    for batch, threads in CASES:
        if threads > len(CPUS):
            parts.append(f"Batch {batch}, {threads} threads: not run, too few cores.\n")
        else:
            parts.append(table(batch, threads, *measure(args, batch, threads)))
        print(parts[-1], flush=True)
    args.record.parent.mkdir(parents=True, exist_ok=True)
    args.record.write_text("\n".join(parts))


CPUS = os.sched_getaffinity(0)

if __name__ == "__main__":
    main()
