"""`googlenet similar` against brute force in numpy.

    cargo build --release
    python tests/oracles/similar.py target/release/googlenet [PICTURES WEIGHTS]
    python tests/oracles/similar.py --check FOLDER

PICTURES is a folder, WEIGHTS a weight file that the command takes; without them it makes both from the photographs and the
BVLC weights in ../shared/googlenet. numpy maps the rows of the index that `index` writes, and multiplies each with that of
every picture: products of two f32 are exact in f64, and `math.fsum` rounds their sum once. The order must be exactly that of
`similar`, and similarities the same to the last bit but one; so must the pairs that --near-duplicates joins.

The second form checks what the ignored test of tests/similar.rs leaves in FOLDER: an index, queries and answers.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np


def products(rows, query):
    """The product of each row with the query, each as good as rounded once."""
    query = query.astype(np.float64)
    if len(rows) <= 10_000:
        return np.array([math.fsum(row.astype(np.float64) * query) for row in rows])
    # numpy's own sum is off by some 1e-15: those that may be among the best are summed again.
    rough = np.concatenate([(part.astype(np.float64) * query).sum(1) for part in np.array_split(rows, len(rows) // 5000)])
    for row in np.argpartition(-rough, 1000)[:1000]:
        rough[row] = math.fsum(rows[row].astype(np.float64) * query)
    return rough


def check(rows, query, found):
    """`found` has the numbers and similarities of the rows most like `query`."""
    expected = products(rows, query)
    order = np.argsort(-expected, kind="stable")[: len(found)]
    assert [row for row, _ in found] == order.tolist(), (found, order)
    for row, similarity in found:
        assert abs(similarity - expected[row]) <= 2 * np.spacing(abs(expected[row])), (similarity, expected[row])


def command(path, *arguments):
    return subprocess.run([path, *arguments], check=True, capture_output=True, text=True).stdout


def near_duplicates(rows, names, similarity, groups):
    all_pairs = rows.astype(np.float64) @ rows.astype(np.float64).T
    like = [(i, j) for i in range(len(rows)) for j in range(i) if all_pairs[i, j] >= similarity]
    parent = list(range(len(rows)))

    def first(row):
        return row if parent[row] == row else first(parent[row])

    for i, j in like:
        a, b = first(i), first(j)
        parent[max(a, b)] = min(a, b)
    expected = {}
    for row in sorted({row for pair in like for row in pair}):
        expected.setdefault(first(row), []).append(names[row])
    assert [[hit["image"] for hit in group] for group in groups] == list(expected.values())
    return len(expected)


def main():
    if sys.argv[1] == "--check":
        folder = pathlib.Path(sys.argv[2])
        answers = json.loads((folder / "answers.json").read_text())
        count, features = answers["rows"], answers["features"]
        rows = np.memmap(folder / "index", "<f4", "r", 64, (count, features))
        for query, found in answers["queries"]:
            # Similarity is that to the query of length 1, in f32 as rows are.
            length = math.sqrt(sum(value * value for value in query))
            check(rows, np.array([value / length for value in query], np.float32), found)
        print(f"{len(answers['queries'])} searches of {count} rows: numpy's order")
        return
    path = sys.argv[1]
    shared = pathlib.Path(__file__).parents[2] / "../shared/googlenet"
    with tempfile.TemporaryDirectory() as work:
        index, weights = f"{work}/index", f"{work}/weights"
        pictures = pathlib.Path(sys.argv[2]) if sys.argv[2:] else shared / "images"
        if sys.argv[3:]:
            weights = sys.argv[3]
        else:
            command(path, "convert", str(shared / "bvlc_googlenet.safetensors"), weights)
        command(path, "index", str(pictures), index, "--weights", weights)
        data = pathlib.Path(index).read_bytes()
        features = int.from_bytes(data[-60:-56], "little")
        count = int.from_bytes(data[-56:-48], "little")
        rows = np.memmap(index, "<f4", "r", 64, (count, features))
        files = sorted(p for p in pictures.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        names = [str(p.relative_to(pictures)) for p in files]
        assert len(names) == count
        for picture in range(count):
            line = command(path, "similar", index, str(files[picture]), "--weights", weights, "--json", "--top", "20")
            found = [(names.index(hit["image"]), hit["similarity"]) for hit in json.loads(line)["similar"]]
            check(rows, rows[picture], found)
        for similarity in (0.6, 0.7, 0.8):
            line = command(path, "similar", index, f"--near-duplicates={similarity}", "--json")
            groups = near_duplicates(rows, names, similarity, json.loads(line)["groups"])
            print(f"near duplicates at {similarity}: {groups} groups, numpy's")
        print(f"{count} searches of {count} pictures: numpy's order")


main()
