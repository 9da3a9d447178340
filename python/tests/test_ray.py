"""`googlenet.ray` on a local cluster of two workers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import googlenet
import numpy as np
import pytest
from conftest import WEIGHTS, command, is_promised

if not is_promised("ray"):
    pytest.importorskip("pyarrow")
    pytest.importorskip("ray")

import pyarrow as pa  # noqa: E402
import pyarrow.fs as pafs  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import ray  # noqa: E402
from googlenet import ray as many  # noqa: E402
from many import broken_table, descendants, make_pictures, parts, table, wait  # noqa: E402

COUNT, BROKEN = 100, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 pictures, 10 of which are broken; they are large enough for decoding to take some time."""
    made = tmp_path_factory.mktemp("many") / "pictures"
    make_pictures(made, COUNT, BROKEN, width=1200)
    return made


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def whole(folder: Path, cluster: None, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    outcome = many.run(folder, out, workers=2, part=5)
    assert outcome == many.Outcome(COUNT, BROKEN, COUNT // 5, 0)
    assert (out / "_SUCCESS").exists()
    assert not list((out / "_googlenet").glob("unfinished-*"))
    return table(out)


def test_workers_give_the_bits_of_a_session(folder: Path, whole: list[dict[str, Any]]) -> None:
    session = googlenet.Model.demo().session(threads=2)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))
    assert [row["path"] for row in whole] == names and len(set(names)) == COUNT
    errors = 0
    results = session.classify([folder / name for name in names], embed=True, errors="return")
    for row, expected in zip(whole, results, strict=True):
        if isinstance(expected, Exception):
            errors += 1
            assert str(expected).endswith(row["error"]) and len(row["error"]) > 10 and not re.match(r"picture \d", row["error"])
            assert row["classes"] is row["labels"] is row["probabilities"] is row["embedding"] is None
        else:
            assert row["error"] is None and row["row"] is None
            assert row["classes"] == [one.index for one in expected]
            assert row["labels"] == [one.label for one in expected]
            assert row["probabilities"] == [one.probability for one in expected]
            assert np.array_equal(np.array(row["embedding"], np.float32), expected.embedding)
    assert errors == BROKEN


def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    folder: Path, whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(many.run(folder, tmp_path / "out", workers=2, part=2)))
    thread.start()
    wait(lambda: parts(tmp_path / "out") >= 4)
    workers = descendants("ray::Maker")
    assert workers, "the workers are called otherwise"
    os.kill(workers[0], signal.SIGKILL)
    done = parts(tmp_path / "out")
    thread.join(120)
    assert found == [many.Outcome(COUNT, BROKEN, COUNT // 2, 0)]
    assert done < COUNT // 2 - 4, "the run was over before"
    assert table(tmp_path / "out") == whole
    # What the dead worker had begun is no part of the table, and does not stay.
    assert len(list((tmp_path / "out").glob("*.parquet"))) == COUNT // 2
    assert not list((tmp_path / "out" / "_googlenet").glob("unfinished-*"))


def test_a_worker_without_a_place_holds_nothing_up(folder: Path, whole: list[dict[str, Any]], tmp_path: Path) -> None:
    @ray.remote(num_cpus=1)
    class Other:
        def ready(self) -> None:
            pass

    other = Other.remote()
    ray.get(other.ready.remote())
    try:
        assert many.run(folder, tmp_path / "out", workers=2, part=10) == many.Outcome(COUNT, BROKEN, COUNT // 10, 0)
    finally:
        ray.kill(other)
    assert table(tmp_path / "out") == whole


def test_a_run_that_is_stopped_goes_on(folder: Path, whole: list[dict[str, Any]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = [sys.executable, "-m", "googlenet.ray", str(folder), str(out), "--workers", "2", "--part", "2"]
    # A cluster of its own, which ends with it.
    driver = subprocess.Popen([*line, "--address", "local"])
    wait(lambda: parts(out) >= 4 or driver.poll() is not None)
    driver.kill()
    driver.wait()
    time.sleep(2)  # its workers see that it is gone
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert 4 <= len(done) < COUNT // 2 and not (out / "_SUCCESS").exists()

    with pytest.raises(FileExistsError, match="resume"):
        many.run(folder, out, workers=2, part=2)
    for other in ({"top": 3}, {"embeddings": False}, {"weights": WEIGHTS}):
        with pytest.raises(ValueError, match="was begun with"):
            many.run(folder, out, workers=2, part=2, resume=True, **other)
    # A file that a machine left unfinished as it went down is made again.
    victim = out / min(done)
    victim.write_bytes(victim.read_bytes()[:50])

    outcome = many.run(folder, out, workers=2, resume=True)
    assert outcome.skipped == len(done) - 1 and outcome.pictures == COUNT
    assert table(out) == whole
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert all(kept[name] == time for name, time in done.items() if name != victim.name), "what was there is left alone"
    assert many.run(folder, out, resume=True) == many.Outcome(COUNT, 0, COUNT // 2, COUNT // 2)


def test_parquet_in_and_filesystems_of_pyarrow(
    folder: Path, whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The same pictures in two tables with row groups of 7, read and written through a filesystem of pyarrow."""
    names = [row["path"] for row in whole]
    bytes_ = [(folder / name).read_bytes() for name in names]
    (tmp_path / "in").mkdir()
    for number, half in enumerate((slice(0, 50), slice(50, 100))):
        values = bytes_[half]
        column = {"content": values} if number else {"image": [{"bytes": one, "path": ""} for one in values]}
        pq.write_table(pa.table({"id": names[half], **column}), tmp_path / "in" / f"{number}.parquet", row_group_size=7)
    files = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    outcome = many.run("in", "out", workers=2, weights=WEIGHTS, source_filesystem=files, out_filesystem=files)
    assert (outcome.pictures, outcome.errors, outcome.parts) == (COUNT, BROKEN, 16)
    found = table(tmp_path / "out")
    assert [(row["path"], row["row"]) for row in found] == [(f"{at // 50}.parquet", at % 50) for at in range(COUNT)]
    rest = [{key: value for key, value in row.items() if key not in ("path", "row")} for row in found]
    assert rest == [{key: value for key, value in row.items() if key not in ("path", "row")} for row in whole]


def test_the_class_for_map_batches(folder: Path, whole: list[dict[str, Any]], cluster: None) -> None:
    pictures = ray.data.read_binary_files(str(folder / "a"), include_paths=True)
    found = pictures.map_batches(
        many.Classifier,
        fn_constructor_kwargs={"weights": str(WEIGHTS), "top": 2},
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=1,
        batch_size=16,
    ).take_all()
    expected = {str(folder / row["path"]): row for row in whole if row["path"].startswith("a/")}
    assert len(found) == len(expected)
    for row in found:
        other = expected.pop(row["path"])
        assert set(row) == set(other) - {"row"}
        assert row["error"] == other["error"]
        if other["error"] is None:
            assert list(row["probabilities"]) == [np.float32(one) for one in other["probabilities"][:2]]
            assert list(row["labels"]) == other["labels"][:2]
            assert np.array_equal(row["embedding"], np.array(other["embedding"], np.float32))
    # The paths of files do as well as what is in them.
    batch = many.Classifier(top=2)({"path": np.array([str(folder / row["path"]) for row in whole[:3]])})
    assert [one if one is None else one[0] for one in batch["classes"]] == [
        None if row["classes"] is None else row["classes"][0] for row in whole[:3]
    ]
    with pytest.raises(ValueError, match="no column of pictures"):
        many.Classifier()({"picture": np.array(["x"])})


def test_what_cannot_be_run_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(folder / "a" / "0002.jpg", mixed)
    pq.write_table(pa.table({"x": [1]}), mixed / "x.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    for source, options, error, words in [
        (tmp_path / "none", {}, FileNotFoundError, "no such file"),
        (tmp_path / "empty", {}, ValueError, "no pictures"),
        (mixed, {}, ValueError, "one of both"),
        (tmp_path / "x.parquet", {}, ValueError, "no column of pictures"),
        (folder, {"weights": tmp_path / "none"}, FileNotFoundError, "none"),
        (folder, {"weights": folder / "a" / "0002.jpg"}, googlenet.Error, "0002.jpg"),
        (folder, {"top": 0}, ValueError, "top is 0"),
        (folder, {"part": 0}, ValueError, "0 pictures"),
        (folder, {"precision": "f64"}, ValueError, "f64"),
    ]:
        with pytest.raises(error, match=words):
            many.run(source, out, **options)
        assert not out.exists()
    with pytest.raises(FileExistsError, match="not empty"):
        many.run(folder, mixed)
    with pytest.raises(ValueError, match="no run"):
        many.run(folder, mixed, resume=True)
    line = [sys.executable, "-m", "googlenet.ray", str(tmp_path / "none"), str(out)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and ended.stderr.splitlines()[-1].endswith("none: no such file or folder"), ended.stderr


def test_a_cluster_that_cannot_do_it_is_refused_before_anything_is_written(
    folder: Path, cluster: None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for options in ({"workers": 99}, {"cpus": 3}, {"cpus": 0}):
        with pytest.raises(ValueError, match="workers? of .* CPUs, but the cluster has 2"):
            many.run(folder, out, part=1, **options)
        assert not out.exists()
    line = [sys.executable, "-m", "googlenet.ray", str(folder), str(out), "--address", "127.0.0.1:1"]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and not out.exists(), ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("python -m googlenet.ray: no cluster at 127.0.0.1:1: ")
    assert "Traceback" not in ended.stderr


def test_what_a_worker_cannot_do_is_said_in_a_line(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    broken_table(tmp_path / "in" / "x.parquet")
    with pytest.raises(googlenet.Error, match=r"^x.parquet, row group 0: ") as caught:
        many.run(tmp_path / "in", tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out" / "_SUCCESS").exists()
    # Who repairs it goes on.
    broken_table(tmp_path / "in" / "x.parquet", is_broken=False)
    assert many.run(tmp_path / "in", tmp_path / "out", resume=True).pictures == 2


def test_the_command_gives_the_same_numbers(folder: Path, whole: list[dict[str, Any]]) -> None:
    row = next(row for row in whole if row["error"] is None)
    told = json.loads(command("classify", "--json", folder / row["path"]).stdout)["top"]
    assert [np.float32(one["probability"]) for one in told] == [np.float32(one) for one in row["probabilities"]]
