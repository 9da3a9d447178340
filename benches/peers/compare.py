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
# By precision. A name ends in its precision where that is not f32.
ENGINES = {
    "f32": "googlenet googlenet_avx2 googlenet_f16 onnxruntime openvino openvino_streams openvino_default ncnn mnn",
    "bf16": "googlenet_bf16 googlenet_avx2_bf16 openvino_bf16 openvino_streams_bf16 ncnn_bf16 mnn_bf16",
    "int8": "googlenet_int8 googlenet_avx2_int8 onnxruntime_int8 openvino_int8 openvino_streams_int8 "
    "openvino_default_int8 mnn_int8",
}
ENGINES = {precision: names.split() for precision, names in ENGINES.items()}
# Said in the table of each precision, as nobody would know otherwise why these are not in it.
LACKING = {
    "f32": [],
    "bf16": ["onnxruntime has no bf16 row: its kernels for processors have no convolution of bf16."],
    "int8": ["ncnn has no int8 row: its wheel has neither ncnn2table nor ncnn2int8, which make its int8 models."],
}
OF_OTHERS = "googlenet googlenet_f16 onnxruntime openvino".split()
# By the largest logit. A single rounding to f32 is 6e-8, to bf16 4e-3; only `openvino_default` may be that coarse.
F32_ERROR, LOW_ERROR = 1e-4, 0.1
# On so many photographs the class that comes first must be that of f64, or an engine of low precision is called wrong.
AGREES = 0.95


def arguments():
    root = Path(__file__).resolve().parents[2]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--folder", type=Path, default=cache / "googlenet-peers", help="for environment and models")
    p.add_argument("--data", type=Path, default=root / "../shared/googlenet", help="ONNX graph, reference, photographs")
    p.add_argument("--binary", type=Path, default=root / "target/release/googlenet")
    p.add_argument("--weights", type=Path, help="for the binary [default: converted from the ONNX graph]")
    p.add_argument("--network", choices=["bvlc", *NETWORKS], default="bvlc", help="others have seeded weights")
    p.add_argument("--precision", nargs="+", choices=ENGINES, default=["f32"], help="of the engines that are compared")
    p.add_argument("--engines", nargs="+", choices=sum(ENGINES.values(), []), help="[default: all of the precisions]")
    p.add_argument("--calibration", type=Path, help="pictures that int8 is calibrated on [default: the photographs]")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--runs", type=int, default=40, help="of a round and engine; a quarter of them at batch 8")
    p.add_argument("--record", type=Path, help="the file to write [default: benches/record/DATE-peers.md or its like]")
    args = p.parse_args()
    what = "peers" if args.network == "bvlc" else f"peers-{args.network}"
    args.record = args.record or root / f"benches/record/{datetime.date.today()}-{what}.md"
    args.environment = args.folder = args.folder.absolute()
    args.photographs = args.data / "images"
    args.calibration = args.calibration or args.photographs
    if args.network != "bvlc":
        args.folder /= args.network
        if args.precision != ["f32"]:
            p.error("seeded weights have no photographs to be right on: they are compared in f32 alone")
    offered = sum((ENGINES[name] for name in args.precision), []) if args.network == "bvlc" else OF_OTHERS
    if others := set(args.engines or []) - set(offered):
        p.error(f"not among the engines of this network and these precisions: {' '.join(sorted(others))}")
    args.engines = args.engines or offered
    args.weights = args.weights or args.folder / "googlenet.safetensors"
    return args


class Engine:
    """An engine in one case: what its checks found, and the times of its rounds."""

    def __init__(self, args, name, batch, threads):
        self.args, self.name, self.batch, self.threads = args, name, batch, threads
        self.kind, self.precision = prepare.split(name)
        self.ours = self.kind.startswith("googlenet")
        self.env = os.environ | ({"GOOGLENET_ISA": "avx2"} if self.kind == "googlenet_avx2" else {})
        self.weights = args.weights
        if self.kind == "googlenet_f16":
            # The same weights stored as f16, which round them: an engine of f32 sums on other numbers.
            self.weights = args.folder / "half.safetensors"
        elif self.precision == "int8":
            self.weights = args.folder / "int8.safetensors"
        self.options = [] if self.precision == "f32" else ["--precision", self.precision]
        self.rounds = []
        self.found = self.check_ours() if self.ours else self.peer("check")
        self.exact = self.found["error"] <= F32_ERROR and self.found["same_five"]
        self.f32 = self.precision == "f32" and self.exact
        coarse = self.kind in ("openvino_default", "googlenet_f16") and self.found["error"] <= LOW_ERROR
        if self.precision == "f32" and not (self.f32 or coarse):
            five = "right" if self.found["same_five"] else "wrong"
            raise RuntimeError(f"error {self.found['error']:.1e}, top 5 {five}")
        if args.network == "bvlc":
            # They are many, and no case computes otherwise: they are judged in the first.
            judge = self.judge_ours if self.ours else lambda: self.peer("judge")
            if name not in args.verdicts:
                args.verdicts[name] = judge()
            self.found |= args.verdicts[name]
        self.right = self.found.get("agrees", 1) >= AGREES

    def run(self, command):
        done = subprocess.run([str(c) for c in command], env=self.env, capture_output=True, text=True, timeout=900)
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["no word"]
            raise RuntimeError(f"exit code {done.returncode}: {words[-1]}")
        return done.stdout

    def peer(self, what):
        script = [sys.executable, prepare.HERE / "engine.py"]
        return json.loads(self.run([*script, self.name, self.args.folder, self.batch, self.threads, what]))

    def check_ours(self):
        from engine import error

        found = error(self.logits("input.npy"), self.args.folder)
        return found | {"version": self.run([self.args.binary, "--version"]).split()[-1], "remark": ""}

    def judge_ours(self):
        from engine import verdict

        return verdict(self.logits("photographs.npy"), self.args.folder)

    def logits(self, images):
        import numpy as np

        with tempfile.TemporaryDirectory() as temporary:
            files = ["--input", self.args.folder / images, "--output", f"{temporary}/y.npy"]
            options = ["--weights", self.weights, "--threads", self.threads, *self.options]
            self.run([self.args.binary, "run", *options, *files])
            return np.load(f"{temporary}/y.npy")

    def round(self, runs):
        if self.ours:
            size = ["--threads", self.threads, "--batch", self.batch, "--runs", runs, *self.options]
            got = json.loads(self.run([self.args.binary, "bench", "--json", "--weights", self.weights, *size]))
            self.found["remark"] = got["isa"]
        else:
            got = self.peer(runs)
        self.rounds.append(got)

    def counts(self):
        """Whether it may be called the fastest: rows of f32 must be f32, others must not be wrong."""
        return self.f32 if self.precision == "f32" else self.right

    def how(self):
        """The remark, and what the reader must not take it for."""
        remark = self.found["remark"]
        if self.precision == "f32" and not self.f32:
            remark += " (not f32)"
        if self.precision != "f32" and self.exact:
            remark += f" (no {self.precision} here: it is as exact as f32)"
        return remark if self.right else f"{remark} (wrong)"

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
        kind, precision = prepare.split(name)
        if same.get(kind):
            continue
        if precision == "int8" and (why := args.unquantised.get(kind.split("_")[0])):
            failed.append(f"{name} is left out: {why}.")
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


def table(args, batch, threads, engines, failed):
    judged = ["top-1", "top-5", "agrees"] if args.network == "bvlc" else []
    columns = ["ms an image, median", "min", "images/s", "ours / theirs", *judged, "rms", "error"]
    lines = [f"## Batch {batch}, threads {threads}", ""]
    lines.append(f"| engine | version | how | {' | '.join(columns)} |")
    lines.append(f"| --- | --- | --- |{' --: |' * len(columns)}")
    ours = {e.precision: e for e in engines if e.kind == "googlenet"}
    for e in sorted(engines, key=Engine.median):
        base = ours.get(e.precision)
        ratio = f"{base.median() / e.median():.3f}" if base and e is not base else ""
        cells = [f"{e.median():.2f}", f"{e.min():.2f}", f"{1e3 / e.median():.1f}", ratio]
        cells += [f"{100 * e.found[share]:.0f} %" for share in ("top1", "top5", "agrees") if judged]
        cells += [f"{100 * e.found['rms']:.2g} %", f"{e.found['error']:.1e}"]
        lines.append(f"| {e.name} | {e.found['version']} | {e.how()} | {' | '.join(cells)} |")
    left_out = failed + [line for precision in args.precision for line in LACKING[precision]]
    lines += ["", *(f"- {line}" for line in left_out), ""]
    for precision, base in ours.items():
        peers = [e for e in engines if not e.ours and e.precision == precision and e.counts()]
        if peers:
            best = min(peers, key=Engine.median)
            lines.append(f"Fastest other {precision} engine: {best.name}; ours takes {against(base, best, 'its')}.")
    for name in ("googlenet", "googlenet_avx2"):
        own = {e.precision: e for e in engines if e.kind == name}
        for precision in own.keys() - {"f32"} if "f32" in own else []:
            ratio = against(own[precision], own["f32"], f"{name}'s")
            lines.append(f"{own[precision].name} takes {ratio}.")
    if ours:
        peak = max(r["fma_peak_gmacs"] for e in ours.values() for r in e.rounds)
        lines.append(f"Multiply-add peak on as many threads, measured in the same runs: {peak:.1f} GMAC/s.")
    return "\n".join(lines + [""])


def against(ours, other, whose):
    ratio = ours.median() / other.median()
    return f"{ratio:.3f} of {whose} time ({1 / ratio:.2f} times its speed)"


def head(args):
    """What a reader must know of the run."""
    commit = output("git", "describe", "--always", "--dirty", "--exclude=*")
    command = [Path(a).name if a.startswith("/") else a for a in sys.argv[1:]]
    runs = f"{args.rounds} rounds of {args.runs} runs ({max(1, args.runs // 4)} at batch 8) after warm-up"
    of = "BVLC weights, 224x224" if args.network == "bvlc" else f"{args.network}, seeded weights, its own side"
    load = f"Load before: {os.getloadavg()[0]:.2f}"
    return f"""# Other engines, {datetime.date.today()}

{cpuinfo("model name")} ({", ".join([isa(), *low_precision()])}), {len(CPUS)} cores, {platform.system()} {platform.machine()}; commit {commit}, \
{output("rustc", "--version")}, RUSTFLAGS "{os.environ.get("RUSTFLAGS", "")}"; Python {platform.python_version()}. \
{load}.

    {shlex.join(["python3", "benches/peers/compare.py", *command])}

{of}, weights {args.weights.name}. {runs}; the engines take turns, each round in a process of its \
own, bound to as many cores as it has threads. Median: of the rounds' medians. Error: largest of a logit against f64, \
by the image's largest logit, over the reference images; rms: of all their logits' errors, by that of the logits.
{photographs(args) if args.network == "bvlc" else ""}"""


def photographs(args):
    """The paragraph on what the photographs say, and on how int8 was calibrated."""
    import numpy as np

    count = len(np.load(args.folder / "photographs_truth.npy"))
    wrong = f"wrong: agrees on less than {100 * AGREES:.0f} %"
    text = f"\nTop-1, top-5: of {count} photographs. Agrees: the same class first as in f64; {wrong}.\n"
    if "int8" in args.precision:
        same = args.calibration.resolve() == args.photographs.resolve()
        others = len(np.load(args.folder / "calibration.npy", mmap_mode="r"))
        which = "these photographs" if same else f"{others} others"
        text += f"Int8 models are calibrated on {which}, by each engine's own tool.\n"
    return text


def isa():
    flags = cpuinfo("flags").split()
    return next((name for flag, name in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in flags), "no AVX2")


def low_precision():
    """The instructions of low precision that the processor has, or a word that there are none."""
    flags = cpuinfo("flags").split()
    names = {"VNNI": ["avx512_vnni", "avx_vnni"], "BF16": ["avx512_bf16"], "AMX": ["amx_tile"]}
    return [name for name, any_of in names.items() if set(any_of) & set(flags)] or ["neither VNNI nor BF16"]


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
        prepare.photographs(args.folder, args.photographs, args.data / "synset_words.txt", args.binary)
    else:
        prepare.seeded(args.folder, args.network, args.binary)
    args.verdicts, args.unquantised = {}, {}
    if "int8" in args.precision:
        split = [prepare.split(name) for name in args.engines]
        names = dict.fromkeys(kind.split("_")[0] for kind, precision in split if precision == "int8")
        args.unquantised = prepare.quantised(args.folder, names, args.calibration, args.weights, args.binary)
    parts = [head(args)]
    print(parts[0])
    for batch, threads in CASES:
        if threads > len(CPUS):
            parts.append(f"Batch {batch}, {threads} threads: not run, too few cores.\n")
        else:
            parts.append(table(args, batch, threads, *measure(args, batch, threads)))
        print(parts[-1], flush=True)
    args.record.parent.mkdir(parents=True, exist_ok=True)
    args.record.write_text("\n".join(parts))


CPUS = os.sched_getaffinity(0)

if __name__ == "__main__":
    main()
