"""Set-up: the virtual environment, then what the engines read, all in one folder outside the tree."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent


def enter_environment(folder):
    """Goes on in the virtual environment of `folder`, made at need, with this very command."""
    python = folder / "venv/bin/python"
    if Path(sys.prefix) == folder / "venv":
        return
    wanted, done = (HERE / "requirements.txt").read_text(), folder / "requirements.txt"
    if not done.exists() or done.read_text() != wanted:
        print(f"installing into {folder}", file=sys.stderr)
        venv.create(folder / "venv", with_pip=True)
        failed = [line for line in wanted.splitlines() if line[0] != "#" and not install(python, line)]
        if failed:  # an engine that is missing fails its check, and is tried again next time
            print(f"could not install {failed}", file=sys.stderr)
        else:
            done.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])


def install(python, requirement):
    alone = ["--no-deps"] if requirement.startswith("pnnx") else []
    return subprocess.call([python, "-m", "pip", "install", "--quiet", *alone, requirement]) == 0


def models(folder, onnx, reference, binary):
    """Every engine's file of the graph `onnx`, the reference images and their logits in f64."""
    link = folder / "model.onnx"
    source = f"{onnx.resolve()} {onnx.stat().st_size} {onnx.stat().st_mtime_ns}"
    done = folder / "models.txt"
    if not done.exists() or done.read_text() != source:
        print(f"converting into {folder}", file=sys.stderr)
        link.unlink(missing_ok=True)
        link.symlink_to(onnx.resolve())
        ours = [binary.resolve(), "convert", "--force", "model.onnx", "googlenet.safetensors"]
        steps = [("googlenet", ours), ("ncnn", pnnx(folder)), ("mnn", mnn())]
        failed = [name for name, command in steps if quietly(command, folder)]
        exact(folder, reference)
        if failed:
            print(f"could not convert for {failed}", file=sys.stderr)
        else:
            done.write_text(source)


def seeded(folder, dialect, binary):
    """ONNX Runtime's, OpenVINO's and our own files of a network of seeded weights, eight images and their logits in f64."""
    import numpy as np
    import onnx
    from networks import NETWORKS, build
    from reference import run

    side, output = NETWORKS[dialect]
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "network.json"
    if not done.exists():
        print(f"making {dialect} in {folder}", file=sys.stderr)
        onnx.save(build(dialect), folder / "model.onnx")
        images = np.random.default_rng(2).uniform(-100, 100, (8, 3, side, side)).astype(np.float32)
        np.save(folder / "input.npy", images)
        np.save(folder / "logits.npy", run(folder / "model.onnx", images, output))
        done.write_text(json.dumps([side, output]))
    # Converted anew each time: the file is this commit's.
    for options, name in [([], "googlenet.safetensors"), (["--f16"], "half.safetensors")]:
        command = [binary.resolve(), "convert", "--force", "--dialect", dialect, *options, "model.onnx", name]
        if quietly(command, folder):
            raise SystemExit(f"could not convert {dialect}")


def quietly(command, folder):
    """The command's exit code; what it said only if that is not 0."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    return done.returncode


def pnnx(folder):
    program = next(folder.glob("venv/lib/*/site-packages/pnnx/pnnx"), "pnnx")
    return [program, "model.onnx", "inputshape=[1,3,224,224]", "fp16=0"]


def mnn():
    # The wheel's own script would report its use to its makers afterwards.
    arguments = ["mnnconvert", "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn", "--bizCode", "x"]
    return [sys.executable, "-c", f"import MNN, _tools; _tools.mnnconvert({arguments})"]


def exact(folder, reference):
    """The images of the safetensors file `reference`; their logits there are f32, so f64 ones are computed."""
    import numpy as np
    from engine import OUTPUT
    from reference import run

    data = reference.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensor = json.loads(data[8:start])["input"]
    begin, end = tensor["data_offsets"]
    images = np.frombuffer(data[start + begin : start + end], "<i2").reshape(tensor["shape"])
    images = images.astype(np.float32)
    np.save(folder / "input.npy", images)
    np.save(folder / "logits.npy", run(folder / "model.onnx", images, OUTPUT))
