"""Sessions: what they give, whose memory it is, and what they refuse."""

from __future__ import annotations

import gc
import io
import json
import os
import pickle
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import googlenet
import numpy as np
import pytest
from conftest import CAT, REAL, ROOT, WEIGHTS, command, inputs, needs


def test_the_photograph_is_a_cat_however_it_is_handed_in(session: googlenet.Session) -> None:
    from PIL import Image

    data = CAT.read_bytes()
    assert data == googlenet.photograph()
    image = Image.open(CAT)
    array = np.asarray(image.convert("RGB"))
    ways = [str(CAT), CAT, data, bytearray(data), memoryview(data), image, array]
    results = [session.classify(way, 3) for way in ways]
    assert results[0][0].label == "cat" and results[0][0].index == 3 and len(results[0]) == 3
    assert all(result == results[0] for result in results)
    # A part of a picture, whose rows lie apart, is the picture that its copy is.
    part = array[10:250, 20:300]
    assert session.classify(part) == session.classify(part.copy())
    assert 0.99 < sum(prediction.probability for prediction in session.classify(CAT, 10)) < 1.01


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("endpoint", ["logits", "prob", "pool5/7x7_s1", "inception_4e/output"])
def test_bits_are_the_command_s(tmp_path: Path, model: googlenet.Model, threads: int, endpoint: str) -> None:
    x = inputs(3)
    np.save(tmp_path / "x.npy", x)
    command("run", "--weights", WEIGHTS, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--endpoint", endpoint)
    expected = np.load(tmp_path / "y.npy")
    session = model.session(threads=threads, batch=3, endpoints=[endpoint])
    logits = session.run(x)
    got = session.endpoint(endpoint)
    assert got.dtype == np.float32 and got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()
    if endpoint == "logits":
        assert logits.tobytes() == expected.tobytes()
    # One after the other they are the same, too, and so are those of a file that is mapped.
    mapped = googlenet.Model.open(WEIGHTS, map=True).session(threads=1, endpoints=[endpoint])
    for index in range(3):
        mapped.run(x[index : index + 1])
        assert mapped.endpoint(endpoint).tobytes() == expected[index : index + 1].tobytes()


@needs("weights", REAL.exists())
def test_bits_are_the_command_s_with_the_real_weights(tmp_path: Path, real_weights: Path) -> None:
    model = googlenet.Model.open(real_weights)
    x = inputs(1, model.side)
    np.save(tmp_path / "x.npy", x)
    command("run", "--weights", real_weights, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert model.session().run(x).tobytes() == np.load(tmp_path / "y.npy").tobytes()


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_arrays_show_the_session_s_memory_and_are_no_copies(model: googlenet.Model) -> None:
    session = model.session(threads=1, batch=2, endpoints=["inception_4e"])
    logits = session.run(inputs(2))
    assert address(session.endpoint("logits")) == address(logits)
    first, again = session.endpoint("inception_4e"), session.endpoint("inception_4e")
    assert address(first) == address(again) and first.shape == (2, 832, 4, 4)
    assert not first.flags.owndata and not first.flags.writeable
    with pytest.raises(ValueError):
        first.flags.writeable = True
    with pytest.raises(ValueError):
        first[0] = 0
    # A run of one image shows one.
    assert session.run(inputs(1)).shape == (1, 10)
    assert session.endpoint("prob").shape == (1, 10)


def test_arrays_outlive_the_session_and_show_the_same_run_for_ever(model: googlenet.Model) -> None:
    session = model.session(threads=2, endpoints=["conv1"])
    x = inputs(4)
    kept = [(session.run(x[i : i + 1]), session.endpoint("conv1")) for i in range(4)]
    copies = [(logits.copy(), layer.copy()) for logits, layer in kept]
    assert len({address(logits) for logits, _ in kept}) == 4
    for _ in range(5):
        session.run(x[:1])
    del session
    gc.collect()
    for (logits, layer), (logits_copy, layer_copy) in zip(kept, copies):
        assert logits.tobytes() == logits_copy.tobytes() and layer.tobytes() == layer_copy.tobytes()
    # Where nobody holds what runs leave, they use the same two places in turn.
    session = model.session(threads=1)
    places = {address(session.run(x[:1])) for _ in range(10)}
    assert len(places) == 2


def test_lists_and_iterables_are_batched_and_in_order(model: googlenet.Model, pictures: Path) -> None:
    paths = sorted(pictures.rglob("*.png"))
    alone = [model.session(threads=1).classify(path, 10) for path in paths]
    for batch, threads in [(1, 1), (5, 2), (64, 2)]:
        session = model.session(batch=batch, threads=threads)
        results = session.classify(paths, 10)
        assert isinstance(results, list) and results == alone
        assert session.classify(tuple(paths), 10) == alone
        lazily = session.classify((path for path in paths), 10)
        assert not isinstance(lazily, list)
        assert list(lazily) == alone
        assert [p.read_bytes() for p in paths] and list(session.classify(iter([p.read_bytes() for p in paths]), 10)) == alone
    assert session.classify([]) == [] and list(session.classify(iter([]))) == []
    four = np.stack([np.asarray(model.crop(path)) for path in paths[:4]])
    assert len(session.classify(four)) == 4


class Endless:
    """Photographs without end, and how many of them were read."""

    read = 0

    def __iter__(self) -> Iterator[Path]:
        while True:
            self.read += 1
            yield CAT


def test_an_iterable_is_read_only_a_little_ahead(model: googlenet.Model) -> None:
    endless = Endless()
    results = model.session(batch=2, threads=2).classify(endless)
    for _ in range(5):
        assert next(results)[0].label == "cat"
    assert endless.read <= 5 + 2 * 2 + 2


def test_a_session_of_one_thread_starts_no_other(model: googlenet.Model) -> None:
    endless = Endless()

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    session = model.session(batch=3, threads=1)
    before = threads()
    results = session.classify(endless)
    for number in range(7):
        assert next(results)[0].label == "cat"
        assert (endless.read, threads()) == (3 * (number // 3 + 1), before)
    mixed = session.classify([CAT, b"no picture", CAT, 3.5, CAT], errors="return")
    assert [isinstance(result, Exception) for result in mixed] == [False, True, False, True, False]


def test_a_broken_picture_raises_or_stands_among_the_results(session: googlenet.Session, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 cut off")
    with pytest.raises(googlenet.Error, match="broken.jpg: "):
        session.classify(broken)
    with pytest.raises(FileNotFoundError, match="cannot read .*none.png"):
        session.classify(tmp_path / "none.png")
    with pytest.raises(googlenet.Error, match="picture 1: no picture"):
        session.classify([CAT, b"no picture of any kind"])
    results = session.classify([broken, CAT, tmp_path / "none.png", 3.5, CAT], errors="return")
    kinds = [type(result) for result in results]
    assert kinds == [googlenet.Error, googlenet.Predictions, FileNotFoundError, TypeError, googlenet.Predictions]
    assert list(map(type, session.classify(iter([CAT, broken]), errors="return"))) == [googlenet.Predictions, googlenet.Error]
    with pytest.raises(ValueError, match="errors is \"ignore\""):
        session.classify([CAT], errors="ignore")  # type: ignore[call-overload]

    def fails():  # type: ignore[no-untyped-def]
        yield CAT
        raise KeyError("mine")

    results = session.classify(fails())
    assert next(results)[0].label == "cat"
    with pytest.raises(KeyError, match="mine"):
        next(results)
    assert list(results) == []


def test_arrays_that_do_not_fit_are_named(session: googlenet.Session) -> None:
    x = inputs(1)
    cases = [
        (x.astype(np.float64), "dtype float64, expected float32"),
        (x.astype(">f4"), "dtype >f4, a byte order that is not this machine's"),
        (x[0], r"shape \[3, 64, 64\], expected \[n, 3, 64, 64\] with n of 1 to 1"),
        (np.concatenate([x, x]), r"shape \[2, 3, 64, 64\]"),
        (x[:0], r"shape \[0, 3, 64, 64\]"),
        (x[:, :, :32], r"shape \[1, 3, 32, 64\]"),
        (np.asfortranarray(x), "Fortran order"),
        (x[..., ::-1], r"strides \[49152, 16384, 256, -4\] in bytes, expected \[49152, 16384, 256, 4\]"),
        (np.empty((1, 3, 64, 128), np.float32)[..., ::2], "strides"),
        (np.broadcast_to(x[:, :1], (1, 3, 64, 64)), r"strides \[\d+, 0, 256, 4\]"),
        (np.frombuffer(b"?" + x.tobytes(), "<f4", offset=1).reshape(x.shape), "not aligned to its elements"),
    ]
    for array, words in cases:
        with pytest.raises(ValueError, match=words):
            session.run(array)
    session.run(x)  # none of them has broken it
    for other in (x.tolist(), None, "x"):
        with pytest.raises(TypeError, match="expected a numpy.ndarray"):
            session.run(other)  # type: ignore[arg-type]
    picture = np.zeros((8, 6, 3), np.uint8)
    cases = [
        (picture.astype(np.float32), "dtype float32, expected uint8"),
        (picture[..., 0], r"shape \[8, 6\], expected \[h, w, 3\]"),
        (np.zeros((8, 6, 4), np.uint8), r"shape \[8, 6, 4\]"),
        (picture[:0], "empty"),
        (picture[:, ::-1], r"strides \[18, -3, 1\] in bytes, expected \(n, 3, 1\)"),
        (np.asfortranarray(picture), "strides"),
    ]
    for array, words in cases:
        with pytest.raises(ValueError, match=words):
            session.classify(array)
    with pytest.raises(ValueError, match="picture 1: array has dtype int32"):
        session.classify([picture, picture.astype(np.int32)])
    session.classify(picture[::-1])  # rows from below are pictures, too


def test_options_that_do_not_fit_are_named(model: googlenet.Model) -> None:
    cases = [
        (dict(threads=0), "threads 0 is not in 1 to 256"),
        (dict(batch=5000), "batch 5000"),
        (dict(precision="f16"), "unknown precision \"f16\", expected one of f32, bf16, int8"),
        (dict(endpoints=["inception_9z"]), "no layer \"inception_9z\""),
        (dict(side=31), "input side 31 is not in 32 to 4096"),
        (dict(isa="sse9"), "no instruction set \"sse9\""),
        (dict(batch=4000, side=2048), "pixels"),
    ]
    for options, words in cases:
        with pytest.raises(ValueError, match=words):
            model.session(**options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="list of names"):
        model.session(endpoints="pool5")
    session = model.session(threads=1)
    with pytest.raises(ValueError, match="keeps no layer \"conv1\""):
        session.endpoint("conv1")
    session.run(inputs(1))
    counts = [
        (lambda: model.session(threads=-1), "threads -1 is not in 1 to 256"),
        (lambda: model.session(batch=-1), "batch -1 is not in 1 to 4096"),
        (lambda: model.session(batch=10**30), f"batch {10**30} is not in 1 to 4096"),
        (lambda: model.session(side=-5), "input side -5 is not in 32 to 4096"),
        (lambda: session.classify(CAT, -1), "top is -1, expected 1 or more"),
        (lambda: session.classify([CAT], top=0), "top is 0, expected 1 or more"),
        (lambda: session.class_map(-1), "class -1 is not in 0 to 9"),
        (lambda: session.class_map(0, -1), "image -1 of a run of 1"),
        (lambda: googlenet.Ensemble(model, threads=-2), "threads -2 is not in 1 to 256"),
        (lambda: googlenet.Ensemble(model, crops=-10), "crops is -10, expected 1, 10 or 144"),
        (lambda: googlenet.Ensemble(model).classify(CAT, top=0), "top is 0, expected 1 or more"),
    ]
    for call, words in counts:
        with pytest.raises(ValueError, match=words):
            call()
    assert len(session.classify(CAT, 10**30)) == 10
    assert len(session.classify(CAT, np.int64(3))) == 3
    with pytest.raises(TypeError, match="'str' object cannot be"):
        model.session(threads="2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="made without class maps"):
        session.class_map(3)
    with pytest.raises(TypeError, match="expected a picture"):
        session.classify(3.5)  # type: ignore[call-overload]


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot read .*none") as caught:
        googlenet.Model.open(tmp_path / "none")
    assert caught.value.errno == 2
    with pytest.raises(googlenet.Error, match="FORMAT.md: .*not a safetensors file"):
        googlenet.Model.open(ROOT / "weights" / "FORMAT.md")
    with pytest.raises(googlenet.Error, match="a directory, expected a file"):
        googlenet.Model.open(tmp_path)


def test_class_maps_add_up_to_logits(model: googlenet.Model) -> None:
    session = model.session(threads=1, batch=2, class_maps=True)
    assert session.class_map_shape == (2, 2)
    logits = session.run(inputs(2))
    for image in range(2):
        for index in (0, 9):
            values, bias = session.class_map(index, image)
            assert values.shape == (2, 2) and abs(values.mean() + bias - logits[image, index]) < 1e-4
    with pytest.raises(ValueError, match="image 2 of a run of 2"):
        session.class_map(0, 2)
    with pytest.raises(ValueError, match="class 10 is not in 0 to 9"):
        session.class_map(10)


def test_embeddings_are_what_the_classifier_sees(model: googlenet.Model, pictures: Path) -> None:
    paths = sorted(pictures.rglob("*.png"))[:5]
    session = model.session(threads=1, batch=2, endpoints=["pool5"])
    rows = session.embed(paths)
    assert rows.shape == (5, 1024) and rows.dtype == np.float32
    session.run(np.stack([model.prepare(paths[0])]))
    assert session.endpoint("pool5").ravel().tobytes() == rows[0].tobytes()
    assert session.embed(paths[1]).tobytes() == rows[1].tobytes()
    assert [row.tobytes() for row in session.embed(iter(paths))] == [row.tobytes() for row in rows]
    assert session.embed([]).shape == (0, 1024)
    for at_hand in (paths, tuple(paths), np.zeros((2, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"errors=\"return\" does not go with"):
            session.embed(at_hand, errors="return")
    kinds = [type(one) for one in session.embed(iter([paths[0], b"none"]), errors="return")]
    assert kinds == [np.ndarray, googlenet.Error]
    both = session.classify(paths, embed=True)
    assert all(one.embedding is not None and one.embedding.tobytes() == row.tobytes() for one, row in zip(both, rows))
    assert session.classify(paths[0]).embedding is None


def test_what_is_prepared_is_what_is_classified(model: googlenet.Model) -> None:
    session = model.session(threads=1)
    x = model.prepare(CAT)
    assert x.shape == (3, 64, 64) and x.dtype == np.float32
    session.run(x[np.newaxis])
    probabilities = session.endpoint("prob")[0]
    assert [p.probability for p in session.classify(CAT, 10)] == sorted(probabilities.tolist(), reverse=True)
    crop = model.crop(CAT)
    assert crop.shape == (64, 64, 3) and crop.dtype == np.uint8
    mean, std = (float(model.metadata[key].split(",")[0]) for key in ("mean", "std"))
    assert np.abs((crop.transpose(2, 0, 1) - mean) / std - x).max() < 1e-5


def test_two_threads_at_once_are_an_exception(model: googlenet.Model) -> None:
    session = model.session(threads=1, batch=64)
    x = inputs(64)
    begun, refused, done = threading.Barrier(2), [], []

    def run() -> None:
        begun.wait()
        try:
            for _ in range(20):
                done.append(session.run(x).tobytes())
        except googlenet.Error as error:
            refused.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["session is in use by another call"]
    assert len(set(done)) == 1 and len(done) >= 20


class Slow:
    """A path that takes as long to tell as somebody likes."""

    def __init__(self) -> None:
        self.asked, self.told = threading.Event(), threading.Event()

    def __fspath__(self) -> str:
        self.asked.set()
        assert self.told.wait(60)
        return str(CAT)


@pytest.mark.parametrize("kind", ["session", "ensemble"])
def test_a_call_for_a_list_has_the_session_until_it_is_done(model: googlenet.Model, kind: str) -> None:
    used = model.session(threads=1) if kind == "session" else googlenet.Ensemble(model, threads=1)
    slow, found = Slow(), []
    # When the fifth picture is asked for, nothing is computed that another call could meet.
    thread = threading.Thread(target=lambda: found.append(used.classify([CAT, CAT, CAT, CAT, slow])))
    thread.start()
    assert slow.asked.wait(60)
    for other in (CAT, [CAT]):
        with pytest.raises(googlenet.Error, match="in use by another call"):
            used.classify(other)
    slow.told.set()
    thread.join()
    assert len(found[0]) == 5 and used.classify(CAT) == found[0][0]
    # An iterator leaves it to others between its results.
    lazily = used.classify(iter([CAT] * 5))
    assert [next(lazily), used.classify(CAT), next(lazily)] == [found[0][0]] * 3


def test_results_in_a_cycle_are_collected(session: googlenet.Session) -> None:
    class Pictures:
        def __iter__(self):  # type: ignore[no-untyped-def]
            return self

        def __next__(self) -> Path:
            return CAT

    pictures = Pictures()
    pictures.results = session.classify(pictures)  # type: ignore[attr-defined]
    next(pictures.results)  # type: ignore[attr-defined]
    gone = weakref.ref(pictures)
    del pictures
    gc.collect()
    assert gone() is None


def test_other_threads_go_on_while_a_run_computes(model: googlenet.Model) -> None:
    session = model.session(threads=1, batch=32, side=224)
    x = inputs(32, 224)
    took, running = 0.0, True

    def run() -> None:
        nonlocal running, took
        begin = time.perf_counter()
        session.run(x)
        took = time.perf_counter() - begin
        running = False

    session.run(x)  # what is done once is done
    thread = threading.Thread(target=run)
    longest, last = 0.0, time.perf_counter()
    thread.start()
    while running:
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    thread.join()
    # With the interpreter's lock held, the loop would stand still as long as the run takes.
    assert longest < took / 4, f"{longest:.3f} s of {took:.3f} s"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_s_child_is_told_instead_of_hanging(model: googlenet.Model) -> None:
    two, one = model.session(threads=2), model.session(threads=1)
    expected = one.run(inputs(1)).tobytes()
    results = one.classify(iter([CAT]))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            two.run(inputs(1))
        except googlenet.Error as error:
            del two
            is_same = one.run(inputs(1)).tobytes() == expected and next(results)[0].label == "cat"
            code = 0 if "fork" in str(error) and is_same else 2
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_models_describe_themselves_and_are_pickled_by_origin(
    model: googlenet.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.labels[3] == "cat" and model.classes == len(model.labels) == 10 and model.side == 64
    assert model.network == "googlenet" and model.dialect == "bvlc" and model.path is None
    assert model.metadata["input_side"] == "64"
    assert "demonstration" in repr(model) and "googlenet" in repr(model.session(threads=1))
    again = pickle.loads(pickle.dumps(model))
    assert again.labels == model.labels and again.path is None
    opened = pickle.loads(pickle.dumps(googlenet.Model.open(WEIGHTS, map=True)))
    assert Path(opened.path) == WEIGHTS
    # Whoever is handed a model may stand elsewhere.
    monkeypatch.chdir(WEIGHTS.parent)
    pickled = pickle.dumps(googlenet.Model.open(WEIGHTS.name))
    monkeypatch.chdir(tmp_path)
    assert Path(pickle.loads(pickled).path) == WEIGHTS


def test_predictions_print_and_show_themselves(model: googlenet.Model, tmp_path: Path) -> None:
    from PIL import Image

    session = model.session(threads=1)
    result = session.classify(CAT, 2)
    first, second, third = repr(result).splitlines()
    assert first == "chelsea.png" and second.endswith("%     3  cat") and third.startswith("  ")
    assert str(result[0]).strip().startswith(f"{100 * result[0].probability:.2f} %")
    shown = result._repr_html_()
    assert shown.count("<img") == 3 and "where cat is seen" in shown and "chelsea.png" in shown
    # The pictures in it are PNG files that others read, and the first is what the network sees.
    import base64
    import re

    files = [base64.b64decode(data) for data in re.findall(r"base64,([^\"]+)", shown)]
    opened = [np.asarray(Image.open(io.BytesIO(data))) for data in files]
    assert np.array_equal(opened[0], model.crop(CAT)) and opened[2].shape == (2, 2, 4)
    # Without its picture a result shows bars alone; labels are escaped.
    evil = googlenet.Predictions([(0, "<b>\x1b[2J", 0.5)])
    assert "<img" not in evil._repr_html_() and "&lt;b&gt;" in evil._repr_html_() and "\x1b" not in repr(evil)
    moved = tmp_path / "moved.png"
    moved.write_bytes(CAT.read_bytes())
    result = session.classify(moved)
    moved.unlink()
    assert "<img" not in result._repr_html_()
    again = pickle.loads(pickle.dumps(session.classify(CAT, 2)))
    assert again == session.classify(CAT, 2) and again.source == CAT


def test_precisions_are_those_of_the_library(model: googlenet.Model) -> None:
    session = model.session(threads=1, precision="bf16")
    assert session.precision == "bf16" and session.classify(CAT)[0].label == "cat"
    assert session.isa in ("portable", "neon", "avx2", "avx512")
    assert model.session(threads=1, precision="int8").classify(CAT)[0].label == "cat"


def test_weights_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    # The demonstration weights without what makes them a file of this library's, and with a NaN.
    data = WEIGHTS.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = {}
    bodies: list[bytes] = []
    for name, tensor in json.loads(data[8:begin]).items():
        if not name.endswith((".weight", ".bias")):
            continue
        first, end = (begin + offset for offset in tensor["data_offsets"])
        values = np.frombuffer(data[first:end], {"F16": "<f2", "F32": "<f4"}[tensor["dtype"]]).astype("<f4")
        if name == "loss3/classifier.bias":
            values[3] = np.nan
        offset = sum(map(len, bodies))
        header[name] = {"dtype": "F32", "shape": tensor["shape"], "data_offsets": [offset, offset + values.nbytes]}
        bodies.append(values.tobytes())
    text = json.dumps(header).encode()
    plain, weights = tmp_path / "plain.safetensors", tmp_path / "weights.safetensors"
    plain.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(bodies))
    googlenet.convert(plain, weights, side=64)
    session = googlenet.Model.open(weights).session()
    for call in (session.classify, session.embed):
        with pytest.raises(googlenet.Error, match="no probabilities"):
            call(CAT)
