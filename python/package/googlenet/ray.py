"""Pictures classified by the workers of a Ray cluster.

    python -m googlenet.ray IN OUT --weights F [--address A] [--resume]

makes of a folder of pictures, or of parquet files that hold some, a table of labels, probabilities and embeddings, one row a
picture; a picture that cannot be read is a row with its error. A worker that is killed loses nothing and doubles nothing;
`--resume` goes on where a run was stopped: OUT holds what there is to do, and a file for each part of it that is done.

In a pipeline of one's own, `Classifier` is what `map_batches` wants:

>>> import ray
>>> from googlenet.ray import Classifier
>>> pictures = ray.data.read_binary_files("pictures", include_paths=True)
>>> found = pictures.map_batches(
...     Classifier, fn_constructor_kwargs={"weights": "googlenet.safetensors"}, compute=ray.data.ActorPoolStrategy(size=4),
...     num_cpus=1, batch_size=32,
... )
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import ray.exceptions

from . import _parts
from ._native import Error
from ._parts import How, Maker, Outcome, Part, Place, Run

__all__ = ["Classifier", "Outcome", "run"]

_RESTARTS = 20
"""How often a worker is started again in a run."""
_RETRIES = 5
"""How often a part is made again whose worker died."""
_PATIENCE = 60.0
"""How long a free worker waits, in seconds, before it makes what another one does not come to an end with."""


class Classifier:
    """The class for `map_batches`: a model a worker, with as many threads as the worker has CPUs.

    A batch has a column `bytes`, `content` or `image` of JPEG or PNG files, or a column `path` of files that every machine can
    read. It comes back without those that hold files, and with

        classes, labels, probabilities   the likeliest classes, the likeliest first
        embedding                        float32, 1024 for GoogLeNet
        error                            why a picture could not be read; then the others are None

    weights: a weight file's path on every machine, where it is mapped, so that the workers of a machine share its pages and
        nobody may change it meanwhile; by default the demonstration weights.
    top, embeddings, precision, isa: as of `run`.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        *,
        top: int = 5,
        embeddings: bool = True,
        precision: str = "f32",
        isa: str | None = None,
    ) -> None:
        self._how = How(None if weights is None else os.fspath(weights), "", top, embeddings, precision, isa)
        self._session = self._how.session(_threads())

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with its classes."""
        columns = _parts.classify(self._session, _parts.pictures_of(batch), self._how)
        kept = {name: values for name, values in batch.items() if name not in _parts.BYTES_COLUMNS}
        return {**kept, **{name: _objects(values) for name, values in columns.items()}}


def run(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    address: str | None = None,
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
    """Classify all pictures of `source` into parquet files in `out`.

    source: a folder (what is below it counts, what begins with a dot or an underscore does not) or a file: pictures, or parquet
        files with a column `bytes`, `content` or `image`. A path that every machine has, or a URI that pyarrow knows (s3://,
        gs://, hdfs://), or a path on `source_filesystem`, a filesystem of pyarrow.
    out: a folder, named likewise.
    weights: a weight file's path on every machine, by default the demonstration weights. Workers refuse another content. They map
        it, so that nobody may change it meanwhile.
    address: the cluster's; by default the one that the process is connected to, that RAY_ADDRESS names, or a new one on this machine.
    resume: go on with what was begun in `out`, with the pictures that were there then.
    workers, cpus: how many models, each with so many CPUs, by default as many as the cluster has CPUs for.
    part: how many picture files are done and written together; of parquet files it is a row group.
    top, embeddings: how many classes are told, and whether the features are.
    precision, isa: as of `Model.session`; machines of one instruction set give the same bits.

    The table's rows have `path` (below `source`) and `row` (in a parquet file, else null), then what `Classifier` adds.
    """
    how = How(None if weights is None else os.fspath(weights), "", top, embeddings, precision, isa)
    where = Place(source, source_filesystem), Place(out, out_filesystem)
    return _parts.carry_out(*where, how, part, resume, lambda parts: _cluster(address, workers, cpus, parts))


@contextmanager
def _cluster(address: str | None, workers: int | None, cpus: int, parts: int) -> Iterator[_parts.Compute]:
    """The cluster, with CPUs for workers that make so many parts."""
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            _connect(address or os.environ.get("RAY_ADDRESS") or "local")
        have = int(ray.cluster_resources().get("CPU", 0))
        count = min(have // max(cpus, 1) if workers is None else workers, parts)
        if cpus < 1 or count < 1 or count * cpus > have:
            raise ValueError(f"{max(count, 1)} workers of {cpus} CPUs, but the cluster has {have}")
        yield lambda run, missing: _compute(run, missing, count, cpus)
    except ray.exceptions.RayError as error:
        raise Error(_parts.raised_last(str(error))) from error
    finally:
        if is_ours:
            ray.shutdown()


def _compute(run: Run, missing: Sequence[Part], workers: int, cpus: int) -> int:
    """Let the cluster make parts; returns how many errors are in them."""
    # Not by Ray Data, whose workers and helpers take seconds to start. A worker that dies is started again, and its part is made
    # again by it; what kills workers time and again ends the run.
    maker = ray.remote(num_cpus=cpus, max_restarts=_RESTARTS, max_task_retries=_RETRIES)(Maker)
    makers = [maker.remote(run, cpus) for _ in range(workers)]
    # A worker for which the cluster has no place is not there, and gets no part.
    calls: dict[Any, tuple[Any, Part | None]] = {own.ready.remote(): (own, None) for own in makers}
    todo, free = deque(missing), []
    errors: dict[int, int] = {}
    try:
        while len(errors) < len(missing):
            ready, _ = ray.wait(list(calls), timeout=_PATIENCE)
            for call in ready:
                own, part = calls.pop(call)
                made = ray.get(call)
                if part is not None:
                    errors[part.number] = made["errors"]
                free.append(own)
            if free and not todo and not ready:
                # Those that others have had for long, who may be gone with their machine: made twice they are the same.
                todo.extend(part for _, part in calls.values() if part and part.number not in errors)
            while free and todo:
                own, part = free.pop(), todo.popleft()
                calls[own.make.remote(part)] = own, part
            _tell(f"\r{len(errors)} of {len(missing)} parts")
        return sum(errors.values())
    finally:
        _tell("\n")
        for own in makers:
            ray.kill(own)


def _tell(text: str) -> None:
    """Show progress, where somebody looks."""
    if sys.stderr.isatty():
        print(text, end="", file=sys.stderr, flush=True)


def _connect(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        # Ray would try for minutes, and then say less.
        try:
            socket.create_connection((host.strip("[]"), int(port)), 10).close()
        except OSError as error:
            raise ConnectionError(f"no cluster at {address}: {error.strerror or error}") from error
    if address == "local":
        # Nothing but names and numbers goes through the object store, of which Ray would make a third of the memory.
        ray.init(address=address, log_to_driver=False, include_dashboard=False, object_store_memory=128 << 20)
    else:
        ray.init(address=address, log_to_driver=False)


def _threads() -> int:
    """As many as the worker has CPUs."""
    if not ray.is_initialized() or ray.get_runtime_context().worker.mode != ray.WORKER_MODE:
        return 1
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


def _objects(values: list[Any]) -> Any:
    """A column of values of any kind, which NumPy is not to make one array of."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def main(args: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parts.options("googlenet.ray", "Classify pictures on a Ray cluster.")
    parser.add_argument("--address", metavar="A", help="the cluster's address [RAY_ADDRESS, or a new one on this machine]")
    parsed = parser.parse_args(args)
    return _parts.command(parser, parsed, run, address=parsed.address)


if __name__ == "__main__":
    # Workers look for classes in the module of this name, not in `__main__`.
    from googlenet.ray import main as _main

    sys.exit(_main())
