"""`googlenet.spark` on a local session of two cores."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import googlenet
import numpy as np
import pytest
from conftest import WEIGHTS, is_promised

if not is_promised("spark"):
    pytest.importorskip("pyarrow")
    pytest.importorskip("pyspark")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no Java", allow_module_level=True)

import pyarrow.fs as pafs  # noqa: E402
from googlenet import spark as many  # noqa: E402
from many import broken_table, descendants, make_pictures, parent, parts, table, wait  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2,4]").config("spark.driver.memory", "512m")
    made = builder.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2").getOrCreate()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("many") / "pictures"
    make_pictures(made, 40, 4)
    return made


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Any]:
    """What a session says of each picture."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))
    results = googlenet.Model.demo().session().classify([folder / name for name in names], embed=True, errors="return")
    return dict(zip(names, results, strict=True))


def _same(row: dict[str, Any], expected: Any) -> bool:
    if isinstance(expected, Exception):
        return row["labels"] is None and row["error"] is not None and str(expected).endswith(row["error"])
    return (
        row["error"] is None
        and list(row["classes"]) == [one.index for one in expected]
        and list(row["probabilities"]) == [one.probability for one in expected]
        and list(row["labels"]) == [one.label for one in expected]
        and np.array_equal(np.array(row["embedding"], np.float32), expected.embedding)
    )


def test_a_run_is_stopped_and_goes_on(
    spark: SparkSession, folder: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = many.run(folder, out, spark=spark, part=5)
    assert outcome == many.Outcome(40, 4, 8, 0)
    rows = table(out)
    assert [row["path"] for row in rows] == list(expected)
    assert all(_same(row, expected[row["path"]]) for row in rows)

    # As a run leaves it that was stopped: three parts are missing, one is half written under its own name.
    for number in (1, 4, 6):
        (out / f"part-{number:08}.parquet").unlink()
    (out / "_SUCCESS").unlink()
    (out / "_googlenet" / "unfinished-1").write_bytes(b"PAR1")
    with pytest.raises(FileExistsError):
        many.run(folder, out, spark=spark, part=5)
    assert many.run(folder, out, spark=spark, resume=True).skipped == 5
    assert table(out) == rows
    assert (out / "_SUCCESS").exists() and not (out / "_googlenet" / "unfinished-1").exists()


def test_a_frame_gets_columns(spark: SparkSession, folder: Path, expected: dict[str, Any]) -> None:
    pictures = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(str(folder))
    found = many.classify(pictures, weights=WEIGHTS)
    assert found.columns == ["path", "modificationTime", "length", "classes", "labels", "probabilities", "embedding", "error"]
    rows = [row.asDict() for row in found.collect()]
    names = {row["path"].split("/pictures/")[1]: row for row in rows}
    assert len(names) == len(rows)
    assert all(_same(row, expected[name]) for name, row in names.items())
    # Spark's reader of files leaves out empty ones, which no row could tell of.
    empty = {name for name in expected if not (folder / name).stat().st_size}
    assert len(empty) == 2 and set(names) == set(expected) - empty
    assert sum(row["error"] is not None for row in rows) == 2


def test_a_session_that_is_there_is_used_and_left(spark: SparkSession, folder: Path, tmp_path: Path) -> None:
    # Also in another thread than that which made it.
    for number, go in enumerate((lambda work: work(), in_a_thread)):
        assert go(lambda: many.run(folder, tmp_path / f"{number}", part=20)).pictures == 40
        assert spark.range(3).count() == 3


def in_a_thread(work: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_filesystems_of_pyarrow(spark: SparkSession, folder: Path, tmp_path: Path) -> None:
    source = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())
    out = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    outcome = many.run("a", "out", spark=spark, source_filesystem=source, out_filesystem=out)
    assert outcome.pictures == 20 and len(table(tmp_path / "out")) == 20


def test_what_a_worker_cannot_do_is_said_in_a_line(spark: SparkSession, tmp_path: Path) -> None:
    broken_table(tmp_path / "x.parquet")
    with pytest.raises(googlenet.Error, match=r"^x.parquet, row group 0: ") as caught:
        many.run(tmp_path, tmp_path / "out", spark=spark)
    assert "\n" not in str(caught.value) and not (tmp_path / "out" / "_SUCCESS").exists()
    assert spark.range(3).count() == 3


def test_a_worker_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """On the session that a run makes for itself, in a process of its own."""
    out = tmp_path / "out"
    large = tmp_path / "large"
    make_pictures(large, 60, 3, width=1200)
    driver = subprocess.Popen([sys.executable, "-m", "googlenet.spark", str(large), str(out), "--workers", "2", "--part", "2"])
    try:
        wait(lambda: parts(out) >= 4 or driver.poll() is not None)
        # The workers are forks of a daemon, which has their name, too, and makes a new one.
        daemons = descendants("pyspark.daemon", of=driver.pid)
        workers = [pid for pid in daemons if parent(pid) in daemons]
        assert workers, "the workers are called otherwise"
        os.kill(workers[0], signal.SIGKILL)
        done = parts(out)
        assert driver.wait(120) == 0
    finally:
        driver.kill()
    assert done < 30 - 4, "the run was over before"
    rows = table(out)
    names = sorted(str(path.relative_to(large)) for path in large.rglob("*.jpg"))
    assert [row["path"] for row in rows] == names and sum(row["error"] is not None for row in rows) == 3
    results = googlenet.Model.demo().session().classify([large / name for name in names], embed=True, errors="return")
    assert all(_same(row, result) for row, result in zip(rows, results, strict=True))
    assert not list((out / "_googlenet").glob("unfinished-*"))


def test_a_cluster_that_is_none_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "googlenet.spark", str(folder), str(tmp_path / "out"), "--master", "nowhere"]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and not (tmp_path / "out").exists(), ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("python -m googlenet.spark: ") and "Traceback" not in ended.stderr


def test_a_frame_without_pictures_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([(1,)], "x int")
    with pytest.raises(ValueError, match="no column of pictures"):
        many.classify(frame)
    with pytest.raises(FileNotFoundError):
        many.classify(frame, weights=tmp_path / "none")
