"""Pictures classified by the executors of a Spark cluster.

    python -m googlenet.spark IN OUT --weights F [--master M] [--resume]

writes the table that `googlenet.ray` writes, in the same parts, and resumes it likewise. In a program of one's own `classify`
adds columns to a frame:

>>> from googlenet.spark import classify
>>> pictures = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load("pictures")
>>> found = classify(pictures, weights="googlenet.safetensors")
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, FloatType, IntegerType, StringType, StructField, StructType

from . import _parts
from ._native import Error, Session
from ._parts import How, Outcome, Part, Place, Run

__all__ = ["Outcome", "classify", "run"]


def classify(
    frame: DataFrame,
    *,
    weights: str | os.PathLike[str] | None = None,
    top: int = 5,
    embeddings: bool = True,
    precision: str = "f32",
    isa: str | None = None,
) -> DataFrame:
    """A frame of pictures with their classes, by `mapInPandas`.

    The frame has a column `content` (as Spark's `binaryFile` gives it), `bytes` or `image` of JPEG or PNG files, or a column
    `path` of files that every machine can read. It comes back without those that hold files, and with `classes`, `labels`,
    `probabilities`, `embedding`, and `error`, which says why a picture could not be read; then the others are null. (Empty
    files are not in a frame at all that Spark has read from files: it leaves them out.)

    weights, top, embeddings, precision, isa: as of `run`. The weights are looked at here, too.
    """
    how = How(None if weights is None else os.fspath(weights), "", top, embeddings, precision, isa).checked()
    _parts.pictures_column(frame.columns)
    kept = [field for field in frame.schema.fields if field.name not in _parts.BYTES_COLUMNS]
    names = [field.name for field in kept]
    added = [
        StructField("classes", ArrayType(IntegerType())),
        StructField("labels", ArrayType(StringType())),
        StructField("probabilities", ArrayType(FloatType())),
        *([StructField("embedding", ArrayType(FloatType()))] if embeddings else []),
        StructField("error", StringType()),
    ]

    def compute(batches: Iterator[Any]) -> Iterator[Any]:
        session = _session(how)
        for batch in batches:
            columns = _parts.classify(session, _parts.pictures_of(batch), how)
            found = pd.DataFrame({name: pd.Series(values, dtype=object, index=batch.index) for name, values in columns.items()})
            yield pd.concat([batch[names], found], axis=1)

    return frame.mapInPandas(compute, StructType([*kept, *added]))


def run(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    spark: SparkSession | None = None,
    master: str | None = None,
    resume: bool = False,
    workers: int | None = None,
    cpus: int = 1,
    part: int = _parts.PICTURES_A_PART,
    top: int = 5,
    embeddings: bool = True,
    precision: str = "f32",
    isa: str | None = None,
    source_filesystem: Any = None,
    out_filesystem: Any = None,
) -> Outcome:
    """Classify all pictures of `source` into parquet files in `out`: what `googlenet.ray.run` does, with the same arguments but
    `address`, on the session `spark`, else on the process's own if it has one, else on one that is made for it.

    master: where that last one runs, by default on this machine, with `workers` times `cpus` cores.
    workers: how many parts are made at once; on a session that is there already, Spark decides.
    cpus: the threads of a model; of a session that is there already `spark.task.cpus` says how many.
    """
    how = How(None if weights is None else os.fspath(weights), "", top, embeddings, precision, isa)
    where = Place(source, source_filesystem), Place(out, out_filesystem)
    return _parts.carry_out(*where, how, part, resume, lambda parts: _cluster(spark, master, workers, cpus))


@contextmanager
def _cluster(spark: SparkSession | None, master: str | None, workers: int | None, cpus: int) -> Iterator[_parts.Compute]:
    """What makes parts on `spark`, or on another session, which ends afterwards if it was made here."""
    there = spark or _there()
    session = None
    try:
        session = there or _start(master, workers, cpus)
        own = session
        yield lambda run, missing: _compute(own, run, missing)
    except (PySparkException, Py4JError) as error:
        raise Error(_parts.raised_last(str(error))) from error
    finally:
        if there is None and session is not None:
            session.stop()


def _compute(session: SparkSession, run: Run, missing: Sequence[Part]) -> int:
    """Let the cluster make parts; returns how many errors are in them."""
    threads = int(session.sparkContext.getConf().get("spark.task.cpus", "1"))

    def compute(batches: Iterator[Any]) -> Iterator[Any]:
        own = _session(run.how, threads)
        for batch in batches:
            made = [run.make(_unpacked(row), own) for row in batch.to_dict("records")]
            yield pd.DataFrame(made, columns=["part", "pictures", "errors"])

    rows = [_packed(one) for one in missing]
    # A partition a part: parts go to whoever is free, and a task that failed makes its part again.
    spread = session.sparkContext.parallelize(rows, len(rows))
    frame = session.createDataFrame(spread, "number long, paths array<string>, group int, first long, rows long")
    found = frame.mapInPandas(compute, "part long, pictures long, errors long").collect()
    return sum(row["errors"] for row in found)


def _there() -> SparkSession | None:
    """The session that the process has, whichever thread made it."""
    return SparkSession.builder.getOrCreate() if SparkContext._active_spark_context is not None else None


def _start(master: str | None, workers: int | None, cpus: int) -> SparkSession:
    if workers is not None and workers < 1 or cpus < 1:
        raise ValueError(f"{workers} workers of {cpus} CPUs, expected 1 or more")
    if master is None:
        cores = "*" if workers is None else str(workers * cpus)
        # A local session would give up at a task's first failure, as that of a worker that is killed; a cluster allows four.
        master = f"local[{cores},4]"
    if master.startswith("local"):
        # Spark would take whichever `python3` it finds.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("googlenet").config("spark.task.cpus", str(cpus))
    builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    session: SparkSession = builder.getOrCreate()
    return session


def _packed(part: Part) -> tuple[Any, ...]:
    # A frame of pandas has no integers that are null.
    return part.number, list(part.paths), -1 if part.group is None else part.group, part.first, part.rows


def _unpacked(row: dict[str, Any]) -> Part:
    group = int(row["group"])
    return Part(int(row["number"]), tuple(row["paths"]), None if group < 0 else group, int(row["first"]), int(row["rows"]))


_SESSIONS: dict[tuple[How, int, int], Session] = {}


def _session(how: How, threads: int = 1) -> Session:
    """The worker process's session, which serves all of its tasks, one after the other."""
    key = (how, threads, os.getpid())  # Spark's workers are forks, of a process that computes nothing
    if key not in _SESSIONS:
        _SESSIONS.clear()
        _SESSIONS[key] = how.session(threads)
    return _SESSIONS[key]


def main(args: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parts.options("googlenet.spark", "Classify pictures on a Spark cluster.")
    parser.add_argument("--master", metavar="M", help="where Spark runs [on this machine]; as local[N,4] it tries "
                        "again what a killed worker has lost, as local[N] not")
    parsed = parser.parse_args(args)
    return _parts.command(parser, parsed, run, master=parsed.master)


if __name__ == "__main__":
    # Workers look for functions in the module of this name, not in `__main__`.
    from googlenet.spark import main as _main

    sys.exit(_main())
