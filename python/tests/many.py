"""What the tests of Ray and Spark, and the bench, share: pictures, the table, and a process's workers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import CAT


def make_pictures(folder: Path, count: int, broken: int = 0, width: int = 300) -> None:
    """Parts of the photograph, no two alike, as JPEG in two folders; `broken` of them are cut off, empty or none at all."""
    from PIL import Image

    whole = Image.open(CAT).convert("RGB")
    rng = np.random.default_rng(11)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        x, y = rng.integers(0, 120), rng.integers(0, 60)
        part = whole.crop((x, y, x + 240 + index % 50, y + 230)).resize((width, width * 2 // 3))
        part.save(folder / "ab"[index % 2] / f"{index:04}.jpg", quality=85)
    for index in range(broken):
        path = folder / "ab"[index % 2] / f"{index * count // broken:04}.jpg"
        path = path if path.exists() else folder / "ab"[(index + 1) % 2] / path.name
        path.write_bytes([b"", b"no picture", path.read_bytes()[:400]][index % 3])


def broken_table(path: Path, is_broken: bool = True) -> None:
    """A table of two pictures, of which a row group is damaged behind a header that is not."""
    pq.write_table(pa.table({"bytes": [CAT.read_bytes()] * 2}), path, compression="zstd", use_dictionary=False)
    if is_broken:
        column = pq.read_metadata(path).row_group(0).column(0)
        with open(path, "r+b") as file:
            file.seek(column.data_page_offset)
            file.write(b"\xff" * column.total_compressed_size)


def table(out: Path) -> list[dict[str, Any]]:
    """All rows, in the order of parts."""
    rows: list[dict[str, Any]] = []
    for path in sorted(out.glob("part-*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def parts(out: Path) -> int:
    """How many parts are done."""
    return len(list(out.glob("part-*.parquet")))


def descendants(titles: str, of: int | None = None) -> list[int]:
    """The processes that this one, or the process `of`, has started, directly or not, whose command line holds `titles`."""
    children: dict[int, list[int]] = {}
    lines: dict[int, str] = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            children.setdefault(parent(pid), []).append(pid)
            lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
    found, todo = [], [of or os.getpid()]
    while todo:
        for pid in children.get(todo.pop(), []):
            todo.append(pid)
            if titles in lines.get(pid, ""):
                found.append(pid)
    return found


def parent(pid: int) -> int:
    """The process that has started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def wait(is_so: Any) -> None:
    """Wait until something is so, at most three minutes."""
    until = time.monotonic() + 180
    while not is_so():
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.002)
