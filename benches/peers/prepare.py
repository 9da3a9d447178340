"""Set-up: the virtual environment, then what the engines read, all in one folder outside the tree."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
PRECISIONS = ["f32", "bf16", "int8"]


def split(name):
    """An engine's name without its precision, and that: `openvino_int8` is ("openvino", "int8"), `openvino` f32."""
    kind, _, precision = name.rpartition("_")
    return (kind, precision) if precision in PRECISIONS else (name, "f32")


def dot_products():
    """Whether this processor sums products of bytes in 32 bits: as all do that are not x86, and those with VNNI."""
    return platform.machine() != "x86_64" or "vnni" in Path("/proc/cpuinfo").read_text()


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


def photographs(folder, images, words, binary):
    """The pictures of `images`, whose names begin with their class's synset id, as the network sees them; the classes,
    by the lines of the file `words`; the logits in f64."""
    import numpy as np
    from engine import OUTPUT
    from reference import run

    files = sorted(images.iterdir())
    preprocess(folder, "photographs", files, binary)
    source = key([folder / "model.onnx", words, *files])
    if is_made(folder, "photographs_logits", source):
        return
    print("computing the photographs' logits in f64", file=sys.stderr)
    ids = [line.split()[0] for line in words.read_text().splitlines()]
    np.save(folder / "photographs_truth.npy", [ids.index(file.name.split("_")[0]) for file in files])
    x = np.load(folder / "photographs.npy")
    parts = [run(folder / "model.onnx", x[i : i + 10], OUTPUT) for i in range(0, len(x), 10)]
    np.save(folder / "photographs_logits.npy", np.concatenate(parts))
    note_made(folder, "photographs_logits", source)


def preprocess(folder, name, files, binary):
    """Writes what the network sees of the pictures `files`."""
    import numpy as np

    source = key(files)
    if is_made(folder, name, source):
        return
    print(f"preprocessing {len(files)} pictures: {name}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        x = f"{temporary}/x.npy"
        inputs = []
        for file in files:
            if quietly([binary.resolve(), "preprocess", "--force", "--preset", "bvlc", file.resolve(), x], folder):
                raise SystemExit(f"could not read the picture {file}")
            inputs.append(np.load(x))
    np.save(folder / f"{name}.npy", np.concatenate(inputs))
    note_made(folder, name, source)


def quantised(folder, names, images, weights, binary):
    """The int8 models of the engines `names`, calibrated on the pictures of `images`; what went wrong, by engine."""
    preprocess(folder, "calibration", sorted(images.iterdir()), binary)
    failed = {}
    for name in names:
        if name == "googlenet":
            source = key([weights, binary, folder / "calibration.npy"])
            paths = [weights.resolve(), folder / "int8.safetensors"]
            command = [binary.resolve(), "quantize", "--force", *paths, "--images", images.resolve()]
        else:
            script = [HERE / "quantise.py", HERE / "requirements.txt"]
            source = f"{key([folder / 'model.onnx', folder / 'calibration.npy', *script])} {dot_products()}"
            command = [sys.executable, HERE / "quantise.py", name, folder, folder / "calibration.npy"]
        if is_made(folder, f"int8_{name}", source):
            continue
        print(f"quantising for {name}", file=sys.stderr)
        run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            words = run.stdout.strip().splitlines() or ["no word"]
            failed[name] = f"it could not be quantised, exit code {run.returncode}: {words[-1]}"
        else:
            note_made(folder, f"int8_{name}", source)
    return failed


def key(files):
    """Hash of the contents of `files`."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def is_made(folder, what, source):
    file = folder / f"{what}.source"
    return file.exists() and file.read_text() == source


def note_made(folder, what, source):
    """Notes what `what` was made of, so that it is not made again while that is the same."""
    (folder / f"{what}.source").write_text(source)


def quietly(command, folder):
    """The command's exit code; what it said only if that is not 0."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    return done.returncode


def pnnx(folder):
    program = next(folder.glob("venv/lib/*/site-packages/pnnx/pnnx"), "pnnx")
    return [program, "model.onnx", "inputshape=[1,3,224,224]", "fp16=0"]


def mnn(output="model.mnn", *options):
    # The wheel's own script would report its use to its makers afterwards.
    files = ["--modelFile", "model.onnx", "--MNNModel", output]
    arguments = ["mnnconvert", "-f", "ONNX", *files, "--bizCode", "x", *options]
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
