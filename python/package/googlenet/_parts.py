"""Many pictures, cut into parts: what `googlenet.ray` and `googlenet.spark` have in common.

A run reads a folder of pictures, or of parquet files that hold some, and writes a folder of parquet files. What there is to
do is written down first, and never changes afterwards:

    OUT/_googlenet/run.json         where pictures come from, with which weights, what of them is told
    OUT/_googlenet/inputs.parquet   every picture file, or row group of a parquet file, and its part
    OUT/part-00000000.parquet       the rows of part 0
    OUT/_SUCCESS                    written when no part is missing

A part is the unit of everything: one task of a worker makes it, writes it under a name of its own in `_googlenet`, and renames
it. So a part's file is there as a whole or not at all, whoever was killed; a task that runs twice writes the same rows into the
same file; and a part is done if its file has as many rows as the part has pictures. Where a filesystem cannot rename, as in
object stores, pyarrow copies, and the copy appears as a whole.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from ._native import Error, Model, Session, __version__
from ._predictions import Predictions

PATH_COLUMNS = ("path",)
"""Columns in which tables name files."""
BYTES_COLUMNS = ("bytes", "content", "image")
"""Columns in which tables hold JPEG or PNG files: Ray's, Spark's and Hugging Face's names. `image` may be a struct with a
field `bytes`."""


@dataclass(frozen=True)
class How:
    """What is told of a picture, and by which weights."""

    weights: str | None = None
    """A weight file's path, the same on every machine; None for the demonstration weights."""
    digest: str = ""
    """The weight file's SHA-256, which workers hold theirs to; empty if nobody has asked."""
    top: int = 5
    """How many classes."""
    embed: bool = True
    """Whether the features are told, too."""
    precision: str = "f32"
    """What is computed in."""
    isa: str | None = None
    """The instruction set; None for the best of each machine. On one set all machines give the same bits."""

    def checked(self) -> How:
        """The same, with the weights' digest, after a look at everything that workers would refuse."""
        how = replace(self, weights=os.path.abspath(self.weights)) if self.weights is not None else self
        if how.top < 1:
            raise ValueError(f"top is {how.top}, expected 1 or more")
        how = replace(how, digest=_digest(how.weights))
        session = how.session(1)
        if how.embed:
            session.embed([])
        return how

    def session(self, threads: int) -> Session:
        """A worker's session. The weight file is mapped, so that the workers of a machine share its pages."""
        if self.digest and self.digest != _digest(self.weights):
            raise Error(f"{self.weights or 'the demonstration weights'}: not the weights that the run began with")
        model = Model.demo() if self.weights is None else Model.open(self.weights, map=True)
        return model.session(threads=threads, precision=self.precision, isa=self.isa)


@dataclass(frozen=True)
class Part:
    """Pictures that are done together."""

    number: int
    paths: tuple[str, ...]
    """Picture files, or the one parquet file, as paths below the run's source."""
    group: int | None
    """The row group of the parquet file."""
    first: int
    """Where in its file the row group begins, in rows."""
    rows: int
    """How many pictures."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"part-{self.number:08}.parquet"


class Place:
    """A folder on a filesystem that pyarrow knows; workers get it pickled."""

    def __init__(self, where: str | os.PathLike[str], filesystem: Any = None) -> None:
        self.where = os.fspath(where)
        if filesystem is not None:
            self.filesystem, self.path = filesystem, self.where.rstrip("/")
        elif "://" in self.where:
            self.filesystem, self.path = pafs.FileSystem.from_uri(self.where)
        else:
            # Workers have working directories of their own.
            self.where = os.path.abspath(self.where)
            self.filesystem, self.path = pafs.LocalFileSystem(), self.where

    def below(self, name: str) -> str:
        """The path of what is called `name` in the folder."""
        return f"{self.path}/{name}" if name else str(self.path)

    def files(self) -> list[str]:
        """The names of all files below the folder, in order; the name of a file itself is empty."""
        found = self.filesystem.get_file_info(self.path)
        if found.type == pafs.FileType.NotFound:
            raise FileNotFoundError(f"{self.where}: no such file or folder")
        if found.type == pafs.FileType.File:
            return [""]
        below = self.filesystem.get_file_info(pafs.FileSelector(self.path, recursive=True))
        start = len(self.path.rstrip("/")) + 1
        return sorted(info.path[start:] for info in below if info.type == pafs.FileType.File)

    def is_empty(self) -> bool:
        """Whether nothing is there."""
        found = self.filesystem.get_file_info(self.path)
        if found.type == pafs.FileType.File:
            raise FileExistsError(f"{self.where}: a file, expected a folder")
        return found.type == pafs.FileType.NotFound or not self.files()

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        with self.filesystem.open_input_stream(self.below(name)) as file:
            return bytes(file.read())

    def put(self, name: str, write: Any) -> None:
        """Make a file as a whole: `write` gets a stream, and what it has written appears under `name`, or nothing does."""
        made = self.below(f"{_OWN}/{_UNFINISHED}{uuid.uuid4().hex}")
        try:
            with self.filesystem.open_output_stream(made) as stream:
                write(stream)
            self.filesystem.move(made, self.below(name))
        except BaseException:
            with suppress(OSError):  # it was not made, or nobody can be told
                self.filesystem.delete_file(made)
            raise

    def remove(self, name: str) -> None:
        """Delete a file that may be gone by now."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(self.below(name))


@dataclass(frozen=True)
class Run:
    """All that a worker has to know."""

    source: Place
    out: Place
    how: How
    schema: Any
    """The table's columns."""

    def make(self, part: Part, session: Session) -> dict[str, int]:
        """Make a part's file; returns how many pictures and errors are in it."""
        if part.group is None:
            names: Sequence[str] = part.paths
            places: Sequence[int | None] = [None] * len(names)
            contents = _read_ahead(self.source, names)
        else:
            names = part.paths * part.rows
            places = range(part.first, part.first + part.rows)
            contents = _rows(self.source, part)
        columns = classify(session, contents, self.how)
        if len(columns["error"]) != part.rows:
            raise Error(f"{part.paths[0]}: has other rows than when the run began")
        table = pa.table({"path": list(names), "row": list(places), **columns}, schema=self.schema)
        self.out.put(part.name, lambda stream: pq.write_table(table, stream, compression="zstd"))
        return {"part": part.number, "pictures": part.rows, "errors": part.rows - columns["error"].count(None)}


class Maker:
    """A worker that makes parts, with a session of its own."""

    def __init__(self, run: Run, threads: int) -> None:
        self._run = run
        self._session = run.how.session(threads)

    def ready(self) -> None:
        """Return when the worker is there."""

    def make(self, part: Part) -> dict[str, int]:
        """Make a part's file; returns how many pictures and errors are in it."""
        return self._run.make(part, self._session)


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    pictures: int
    """How many rows the table has."""
    errors: int
    """How many of the rows that this call wrote are errors."""
    parts: int
    """How many files the table has."""
    skipped: int
    """How many of them were there before."""


def classify(session: Session, contents: Iterable[Any], how: How) -> dict[str, list[Any]]:
    """The columns of a table for pictures, each of them a file's bytes, another thing that `Session.classify` takes, or the
    exception because of which there is no such thing."""
    unread: dict[int, Exception] = {}
    count = 0

    def readable() -> Iterator[Any]:
        nonlocal count
        for content in contents:
            if isinstance(content, Exception):
                unread[count] = content
            else:
                yield content
            count += 1

    results = session.classify(readable(), how.top, embed=how.embed, errors="return")
    columns: dict[str, list[Any]] = {name: [] for name in _columns(how)}

    def tell(result: Predictions | Exception, words: str | None) -> None:
        told = () if isinstance(result, Exception) else tuple(result)
        columns["classes"].append(None if words else [one.index for one in told])
        columns["labels"].append(None if words else [one.label for one in told])
        columns["probabilities"].append(None if words else [one.probability for one in told])
        if how.embed:
            columns["embedding"].append(None if isinstance(result, Exception) else result.embedding)
        columns["error"].append(words)

    def tell_unread() -> None:
        while len(columns["error"]) in unread:
            error = unread[len(columns["error"])]
            tell(error, _words(error))

    for number, result in enumerate(results):
        tell_unread()
        # The session counts the pictures that it was given, which says nothing to who reads the table.
        words = _words(result).removeprefix(f"picture {number}: ") if isinstance(result, Exception) else None
        tell(result, words)
    tell_unread()
    return columns


def _words(error: BaseException) -> str:
    """What is wrong: never empty, as an empty text would look like no error."""
    return str(error) or type(error).__name__


def schema(how: How) -> Any:
    """The table's columns: where a picture comes from, then what was found."""
    return pa.schema([pa.field("path", pa.string(), False), pa.field("row", pa.int64()), *_columns(how).values()])


@dataclass(frozen=True)
class Plan:
    """What there is to do."""

    run: Run
    parts: Sequence[Part]
    missing: Sequence[Part]
    """The parts that are not done."""
    said: dict[str, Any] | None
    """What is to be written down of the run; None if it is there."""
    left: Sequence[str]
    """Files that killed workers have left."""

    def begin(self) -> None:
        """Write down what there is to do."""
        out = self.run.out
        for name in self.left:
            out.remove(name)
        if self.said is not None:
            out.filesystem.create_dir(out.below(_OWN), recursive=True)
            _write_parts(out, self.parts)
            words = json.dumps(self.said, indent=1).encode() + b"\n"
            out.put(_RUN, lambda stream: stream.write(words))


Compute = Callable[[Run, Sequence[Part]], int]
"""What lets a cluster make parts, and returns how many errors are in them."""


def carry_out(
    source: Place,
    out: Place,
    how: How,
    pictures_a_part: int,
    resume: bool,
    connect: Callable[[int], AbstractContextManager[Compute]],
) -> Outcome:
    """What every cluster's `run` does. `connect` is given how many parts there are to make, and gives what makes them, while it
    is entered; whatever it or a look at the arguments refuses leaves `out` as it was."""
    plan = look(source, out, how.checked(), pictures_a_part, resume)
    errors = 0
    if plan.missing:
        with connect(len(plan.missing)) as compute:
            plan.begin()
            errors = compute(plan.run, plan.missing)
    else:
        plan.begin()
    finish(plan.run, len(plan.parts))
    pictures = sum(part.rows for part in plan.parts)
    return Outcome(pictures, errors, len(plan.parts), len(plan.parts) - len(plan.missing))


def look(source: Place, out: Place, how: How, pictures_a_part: int, resume: bool) -> Plan:
    """See what there is to do, or, to resume, read it. Nothing is written.

    Raises FileExistsError if `out` is not empty and nothing is to be resumed, and ValueError if what was begun there is
    something else.
    """
    if pictures_a_part < 1:
        raise ValueError(f"a part has {pictures_a_part} pictures, expected 1 or more")
    run = Run(source, out, how, schema(how))
    said = {**asdict(how), "source": source.where, "version": _VERSION}
    del said["weights"]  # where they lie does not matter
    parts, left = None, []
    if not out.is_empty():
        if not resume:
            raise FileExistsError(f"{out.where}: not empty; to go on with a run that was begun there, resume it")
        files = out.files()
        begun = json.loads(out.read(_RUN)) if _RUN in files else None
        if begun is None and any(not name.startswith(f"{_OWN}/") for name in files):
            raise ValueError(f"{out.where}: holds files, but no run that could be resumed")
        if begun is not None:
            for key, value in said.items():
                if begun.get(key) != value:
                    raise ValueError(f"{out.where}: was begun with {key} {begun.get(key)!r}, and is resumed with {value!r}")
            parts = _read_parts(out)
        left = [name for name in files if _is_unfinished(name)]
    if parts is None:
        parts = _cut(source, pictures_a_part)
        return Plan(run, parts, parts, said, left)
    done = _done(out, parts)
    return Plan(run, parts, [part for part in parts if part.number not in done], None, left)


def finish(run: Run, parts: int) -> None:
    """Say that the table is whole."""
    files = run.out.files()
    if parts != sum(name.startswith("part-") for name in files):
        raise Error(f"{run.out.where}: parts are missing after the run")
    for name in files:
        if _is_unfinished(name):  # a worker that was killed has left it
            run.out.remove(name)
    run.out.put("_SUCCESS", lambda stream: None)


def _is_unfinished(name: str) -> bool:
    return name.startswith(f"{_OWN}/{_UNFINISHED}")


def options(program: str, description: str) -> argparse.ArgumentParser:
    """The command line that runs have in common."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("source", metavar="IN", help="a folder of pictures (JPEG, PNG), or of parquet files with a column "
                        f"{', '.join(BYTES_COLUMNS[:-1])} or {BYTES_COLUMNS[-1]}: a path, or a URI that pyarrow knows")
    parser.add_argument("out", metavar="OUT", help="a folder for parquet files, which is made")
    parser.add_argument("--weights", metavar="F", help="a weight file that every machine has at this path, and that nobody "
                        "changes meanwhile [the demonstration weights]")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was begun in OUT")
    parser.add_argument("--workers", type=_count, metavar="N", help="how many models [as there are CPUs for]")
    parser.add_argument("--cpus", type=_count, default=1, metavar="N", help="the CPUs of a worker [1]")
    parser.add_argument("--part", type=_count, default=PICTURES_A_PART, metavar="N", help="how many pictures are done and "
                        "written together, where they are files; of parquet files a row group is [%(default)s]")
    parser.add_argument("--top", type=_count, default=5, metavar="N", help="how many classes are told [5]")
    parser.add_argument("--no-embeddings", action="store_true", help="leave the features out")
    parser.add_argument("--precision", default="f32", help="f32, bf16 or int8 [f32]")
    parser.add_argument("--isa", metavar="SET", help="the instruction set, where machines differ and bits must not")
    return parser


def command(parser: argparse.ArgumentParser, args: argparse.Namespace, run: Any, **more: Any) -> int:
    """Call `run` with what the command line says, and say what came of it. Returns the exit code: 0, also where pictures could
    not be read; 1 if the run failed."""
    began = time.monotonic()
    try:
        outcome: Outcome = run(
            args.source, args.out, weights=args.weights, resume=args.resume, workers=args.workers, cpus=args.cpus,
            part=args.part, top=args.top, embeddings=not args.no_embeddings, precision=args.precision, isa=args.isa, **more,
        )  # fmt: skip
    except (Error, OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - began
    print(
        f"{outcome.pictures} pictures in {outcome.parts} parts, {outcome.skipped} of which were there; "
        f"{outcome.errors} errors, {seconds:.1f} s",
        file=sys.stderr,
    )
    return 0


def raised_last(text: str) -> str:
    """What was wrong, of the words in which a cluster tells what a worker raised: what stands last in a trace of Python's, but
    for what Ray adds, or at the head of one of Java's; else the first line."""
    raised = re.findall(r"^(?:: )?(?!ray\.)(?:\w+\.)*\w*(?:Error|Exception): (.+)$", text, re.M)
    return str(raised[-1]) if raised else (text.strip().splitlines() or ["the cluster has failed"])[0]


def pictures_of(batch: Mapping[str, Any]) -> Iterator[Any]:
    """The pictures of a batch of a table: its first column of those that hold files, or else of those that name some."""
    name = pictures_column(list(batch))
    for value in batch[name]:
        if name in BYTES_COLUMNS:
            yield _content(value, name)
        else:
            yield value if isinstance(value, str) else ValueError(f"no picture: the column {name} is null")


def pictures_column(names: Sequence[str], known: Sequence[str] = (*BYTES_COLUMNS, *PATH_COLUMNS), where: str = "") -> str:
    """The column of a table that holds or names pictures."""
    for name in known:
        if name in names:
            return name
    at = f"{where}: " if where else ""
    raise ValueError(f"{at}no column of pictures: expected one of {', '.join(known)}, found {list(names)}")


def _content(value: Any, name: str) -> Any:
    """A picture in a cell of the column `name`."""
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if value is None:
        return ValueError(f"no picture: the column {name} is null")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3:
        return value
    raise ValueError(f"the column {name} holds {type(value).__name__}, expected the bytes of JPEG or PNG files")


def _columns(how: How) -> dict[str, Any]:
    fields = [
        pa.field("classes", pa.list_(pa.int32())),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("probabilities", pa.list_(pa.float32())),
        pa.field("embedding", pa.list_(pa.float32())),
        pa.field("error", pa.string()),
    ]
    return {field.name: field for field in fields if how.embed or field.name != "embedding"}


def _cut(source: Place, pictures_a_part: int) -> list[Part]:
    """All that there is to do, in an order that depends on names alone."""
    files = [name for name in source.files() if not any(piece.startswith((".", "_")) for piece in name.split("/"))]
    kind = {name: (name or source.path).rsplit(".", 1)[-1].lower() for name in files}
    tables = [name for name in files if kind[name] in ("parquet", "pq")]
    pictures = [name for name in files if kind[name] in ("jpg", "jpeg", "png")]
    if tables and pictures:
        raise ValueError(f"{source.where}: holds pictures and parquet files, expected one of both")
    if not tables and not pictures:
        raise ValueError(f"{source.where}: no pictures (.jpg, .jpeg, .png) and no parquet files")
    parts: list[Part] = []
    for begin in range(0, len(pictures), pictures_a_part):
        paths = tuple(pictures[begin : begin + pictures_a_part])
        parts.append(Part(len(parts), paths, None, 0, len(paths)))
    for name in tables:
        with source.filesystem.open_input_file(source.below(name)) as file:
            try:
                metadata = pq.read_metadata(file)
            except pa.ArrowInvalid as error:
                raise ValueError(f"{source.below(name)}: {error}") from error
        pictures_column(metadata.schema.to_arrow_schema().names, BYTES_COLUMNS, source.below(name))
        first = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if rows:
                parts.append(Part(len(parts), (name,), group, first, rows))
            first += rows
    return parts


def _rows(source: Place, part: Part) -> Iterator[Any]:
    """The pictures of a row group."""
    with source.filesystem.open_input_file(source.below(part.paths[0])) as file:
        try:
            table = pq.ParquetFile(file)
            column = pictures_column(table.schema_arrow.names, BYTES_COLUMNS, part.paths[0])
            batches = table.iter_batches(batch_size=16, row_groups=[part.group], columns=[column])
            for values in (batch.column(0).to_pylist() for batch in batches):
                yield from (_content(value, column) for value in values)
        except (OSError, pa.ArrowException) as error:
            raise Error(f"{part.paths[0]}, row group {part.group}: {' '.join(_words(error).split())}") from error


def _read_ahead(source: Place, names: Sequence[str]) -> Iterator[bytes | Exception]:
    """The contents of files, in order, or what was wrong with them. Some are read at once: those of object stores are slow to
    come, one after the other."""
    with ThreadPoolExecutor(_READERS) as pool:
        waiting: deque[Future[bytes | Exception]] = deque()
        for name in names:
            waiting.append(pool.submit(_read, source, name))
            if len(waiting) > _READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(source: Place, name: str) -> bytes | Exception:
    for pause in (0.2, 1.0, None):
        try:
            return source.read(name)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            return error
        except OSError as error:  # a network's, which may pass
            if pause is None:
                return error
            time.sleep(pause)
    raise AssertionError("the last try returns")


def _write_parts(out: Place, parts: Sequence[Part]) -> None:
    columns: dict[str, list[Any]] = {name: [] for name in _INPUTS.names}
    for part in parts:
        for path in part.paths:
            values = (part.number, path, part.group, part.first, part.rows)
            for name, value in zip(_INPUTS.names, values, strict=True):
                columns[name].append(value)
    table = pa.table(columns, schema=_INPUTS)
    out.put(_PARTS, lambda stream: pq.write_table(table, stream, compression="zstd"))


def _read_parts(out: Place) -> list[Part]:
    with out.filesystem.open_input_file(out.below(_PARTS)) as file:
        rows = pq.read_table(file).to_pylist()
    paths: dict[int, list[str]] = {}
    last: dict[int, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row["part"], []).append(row["path"])
        last[row["part"]] = row
    return [
        Part(number, tuple(own), last[number]["group"], last[number]["first"], last[number]["rows"])
        for number, own in sorted(paths.items())
    ]


def _done(out: Place, parts: Sequence[Part]) -> set[int]:
    """The parts whose files are whole."""
    there = set(out.files())

    def is_whole(part: Part) -> bool:
        try:
            with out.filesystem.open_input_file(out.below(part.name)) as file:
                return bool(pq.read_metadata(file).num_rows == part.rows)
        except (OSError, pa.ArrowInvalid):
            return False  # a machine went down before its disk had all

    with ThreadPoolExecutor(_READERS) as pool:
        candidates = [part for part in parts if part.name in there]
        return {part.number for part, whole in zip(candidates, pool.map(is_whole, candidates), strict=True) if whole}


def _digest(weights: str | None) -> str:
    if weights is None:
        return f"demonstration weights of {__version__}"
    with open(weights, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count}, expected 1 or more")
    return count


PICTURES_A_PART = 64
"""How many picture files a part has: some seconds of one CPU, which is what a killed worker costs, and a file of some 300 kB
with embeddings."""

_OWN = "_googlenet"
_RUN = f"{_OWN}/run.json"
_PARTS = f"{_OWN}/inputs.parquet"
_UNFINISHED = "unfinished-"
_VERSION = 1
_READERS = 8
_INPUTS = pa.schema(
    [("part", pa.int64()), ("path", pa.string()), ("group", pa.int32()), ("first", pa.int64()), ("rows", pa.int64())]
)
