"""`googlenet.spark` on a local session of two cores."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import googlenet
import numpy as np
import pytest
from conftest import WEIGHTS

pytest.importorskip("pyarrow")
pyspark = pytest.importorskip("pyspark")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("no Java", allow_module_level=True)

from googlenet import spark as many  # noqa: E402
from many import make_pictures, table  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "512m")
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
    assert len(rows) == 40
    names = {row["path"].split("/pictures/")[1]: row for row in rows}
    assert all(_same(row, expected[name]) for name, row in names.items())
    assert set(names) == set(expected)


def test_a_frame_without_pictures_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([(1,)], "x int")
    with pytest.raises(ValueError, match="no column of pictures"):
        many.classify(frame)
    with pytest.raises(FileNotFoundError):
        many.classify(frame, weights=tmp_path / "none")
