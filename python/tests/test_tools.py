"""`convert`, `quantize`, `eval`, `Ensemble` and the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import googlenet
import numpy as np
import pytest
from conftest import CAT, REAL, WEIGHTS, command, needs, package_command


def test_the_command_classifies_the_built_in_photograph() -> None:
    done = package_command("classify", "--top", 1)
    assert " cat" in done.stdout and "demonstration weights" in done.stderr
    script = shutil.which("googlenet", path=os.path.dirname(sys.executable))
    if script is not None:
        assert " cat" in subprocess.run([script, "classify"], check=True, capture_output=True, text=True).stdout
    # Then come the commit, where it is known, and the instruction set.
    assert package_command("--version").stdout.split()[:2] == ["googlenet", googlenet.__version__]
    assert package_command("classify", "none.png", check=False).returncode == 4
    assert package_command("what", check=False).returncode == 2


def test_python_and_the_command_classify_alike(model: googlenet.Model) -> None:
    top = json.loads(command("classify", "--json", "--top", 10, CAT).stdout)["top"]
    for result in (model.session().classify(CAT, 10), googlenet.Ensemble(model).classify(CAT, 10)):
        assert [(p.index, p.label) for p in result] == [(p["index"], p["label"]) for p in top]
        assert [np.float32(p.probability) for p in result] == [np.float32(p["probability"]) for p in top]


def test_ensembles_average_crops_and_models(model: googlenet.Model, pictures: Path) -> None:
    ensemble = googlenet.Ensemble([model, googlenet.Model.open(WEIGHTS)], crops=10, threads=2)
    assert (ensemble.crops, ensemble.classes, ensemble.labels) == (10, 10, model.labels)
    assert "2 models, 10 crops" in repr(ensemble)
    top = json.loads(command("classify", "--json", "--crops", 10, "--top", 10, CAT).stdout)["top"]
    assert [np.float32(p.probability) for p in ensemble.classify(CAT, 10)] == [np.float32(p["probability"]) for p in top]
    probabilities = ensemble.probabilities(CAT)
    assert probabilities.shape == (10,) and abs(probabilities.sum() - 1) < 1e-5
    paths = sorted(pictures.rglob("*.png"))[:5]
    alone = [ensemble.classify(path) for path in paths]
    assert ensemble.classify(paths) == alone and list(ensemble.classify(iter(paths))) == alone
    assert [type(r) for r in ensemble.classify([b"", CAT], errors="return")] == [googlenet.Error, googlenet.Predictions]
    with pytest.raises(ValueError, match="crops is 2, expected 1, 10 or 144"):
        googlenet.Ensemble(model, crops=2)
    with pytest.raises(ValueError, match="number of models 0"):
        googlenet.Ensemble([])
    with pytest.raises(TypeError, match="models are googlenet.Model"):
        googlenet.Ensemble(["x"])  # type: ignore[list-item]


def test_eval_counts_as_the_command_does(pictures: Path, model: googlenet.Model, tmp_path: Path) -> None:
    (pictures / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    done = command("eval", pictures, "--json", check=False)
    assert done.returncode == 4, "a picture could not be read"
    report = json.loads(done.stdout)
    for models in (None, model, WEIGHTS, [model]):
        result = googlenet.eval(pictures, models)
        assert (result.pictures, result.top1, result.top5) == (report["pictures"], report["top1"], report["top5"])
        assert result.calibration_error == report["calibration_error"]
    assert result.pictures == 24 and [one.label for one in result.classes] == ["cat", "dog"]
    assert sum(one.pictures for one in result.classes) == 24
    assert [Path(one.image).name for one in result.unreadable] == ["broken.jpg"]
    assert "24 pictures" in str(result) and "unreadable" in str(result)
    # Of two models and ten crops, with a journal that is gone on with.
    journal = tmp_path / "journal"
    first = googlenet.eval(pictures, [model, WEIGHTS], crops=10, journal=journal)
    again = googlenet.eval(pictures, [model, WEIGHTS], crops=10, journal=journal)
    assert first.models == 2 and first.classes == again.classes


def test_eval_refuses_with_the_library_s_words(tmp_path: Path, model: googlenet.Model) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        googlenet.eval(tmp_path / "none")
    with pytest.raises(googlenet.Error, match="no pictures"):
        googlenet.eval(tmp_path)
    with pytest.raises(ValueError, match="crops"):
        googlenet.eval(tmp_path, crops=3)
    with pytest.raises(ValueError, match="precision"):
        googlenet.eval(tmp_path, precision="f64")
    with pytest.raises(FileNotFoundError, match="none"):
        googlenet.eval(tmp_path, "none.safetensors")
    (tmp_path / "unicorn").mkdir()
    shutil.copy(CAT, tmp_path / "unicorn" / "1.png")
    with pytest.raises(googlenet.Error, match="\"unicorn\" is not the name of a class"):
        googlenet.eval(tmp_path)
    with pytest.raises(ValueError, match="no models"):
        googlenet.eval(tmp_path, [])


def test_weights_are_converted_and_quantized(tmp_path: Path, pictures: Path) -> None:
    half = tmp_path / "-half.safetensors"
    done = googlenet.convert(WEIGHTS, half, f16=True)
    assert (done.network, done.dialect, done.classes, done.side, done.labelled) == ("googlenet", "bvlc", 10, 64, True)
    assert "10 classes" in str(done) and googlenet.Model.open(half).session().classify(CAT)[0].label == "cat"
    with pytest.raises(FileExistsError, match="exists, force=True replaces it"):
        googlenet.convert(WEIGHTS, half)
    googlenet.convert(WEIGHTS, half, force=True, mean=[127.5] * 3, std=(127.5, 127.5, 127.5))
    with pytest.raises(FileNotFoundError):
        googlenet.convert(tmp_path / "none", tmp_path / "x")
    with pytest.raises(googlenet.Error):
        googlenet.convert(CAT, tmp_path / "x")
    with pytest.raises(ValueError, match="std"):
        googlenet.convert(WEIGHTS, tmp_path / "x", std=[0, 1, 1])
    labels = tmp_path / "labels"
    labels.write_text("one\ntwo\n")
    with pytest.raises(googlenet.Error, match="2 labels for 10 classes"):
        googlenet.convert(WEIGHTS, tmp_path / "x", labels=labels)

    int8 = tmp_path / "int8.safetensors"
    result = googlenet.quantize(half, int8, images=pictures)
    assert result.calibrated + result.held_back == 24 and 0 < result.rms_error < 0.2
    assert result.layers and all(layer.int8 for layer in result.layers) and len(result.candidates) == 4
    assert "layers in int8" in str(result)
    session = googlenet.Model.open(int8).session(precision="int8")
    assert session.precision == "int8" and session.classify(CAT)[0].label == "cat"
    with pytest.raises(ValueError, match="not quantised"):
        googlenet.Model.open(half).session(precision="int8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(googlenet.Error, match="no pictures"):
        googlenet.quantize(half, tmp_path / "y", images=tmp_path / "empty")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "work",
    [
        "googlenet.eval(sys.argv[1], crops=144, threads=1)",
        "for _ in session.classify(itertools.repeat(cat)): pass",
        "session.classify([cat] * 10**6)",
        "session.embed([cat] * 10**6)",
        "for _ in googlenet.Ensemble(model, crops=144).classify(itertools.repeat(cat)): pass",
    ],
)
def test_ctrl_c_stops_within_a_second(tmp_path: Path, work: str) -> None:
    _is_stopped(tmp_path, "googlenet.Model.demo()", work)


@needs("weights", REAL.exists())
@pytest.mark.parametrize(
    "work",
    [
        "googlenet.eval(sys.argv[1], model, crops=144, threads=1)",
        "for _ in ensemble.classify(itertools.repeat(cat)): pass",
        "while True: ensemble.probabilities(cat)",
    ],
)
def test_ctrl_c_stops_144_crops_of_the_real_weights_within_a_second(tmp_path: Path, real_weights: Path, work: str) -> None:
    """Of which one picture takes seconds."""
    made = "ensemble = googlenet.Ensemble(model, crops=144, threads=1)\n"
    _is_stopped(tmp_path, f"googlenet.Model.open({str(real_weights)!r})", work, made)


def _is_stopped(tmp_path: Path, model: str, work: str, made: str = "") -> None:
    """Hold a process that does `work` to ending within a second of Ctrl-C."""
    folder = tmp_path / "pictures" / "3"  # the number of a class that both weights have
    folder.mkdir(parents=True)
    shutil.copy(CAT, folder / "0.png")
    for index in range(1, 2000):
        os.link(folder / "0.png", folder / f"{index}.png")
    program = (
        "import googlenet, itertools, signal, sys\n"
        # Whoever runs the tests in the background may have had the shell ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "cat = googlenet.photograph()\n"
        f"model = {model}\n"
        "session = model.session(threads=1, batch=8)\n"
        "session.classify(cat)\n"
        f"{made}"
        "print('begins', flush=True)\n"
        f"try:\n    {work}\n"
        "except KeyboardInterrupt:\n    print('stopped', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "pictures")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    time.sleep(0.7)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    took = time.monotonic() - begin
    assert said == "stopped\n" and process.returncode == 0
    assert took < 1, f"{took:.2f} s"
