"""`googlenet correlate` against numpy's `corrcoef`, on photographs and the real weights.

    cargo build --release
    python tests/oracles/correlate.py target/release/googlenet [FOLDER]

FOLDER is where the photographs and weights are, if not in ../shared/googlenet. numpy is given what `preprocess` and
`run --endpoint` write of each photograph. At distance 0 it correlates the units' values at all positions; at distances
1 and 2 its observations are all ordered pairs of positions at that distance, of all photographs, and its variables are
the units at the first position and the units at the second. Correlations must agree to 1e-5, as must the shares, the
clusters' means, and the values of the pictures that excite clusters.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

COMMAND = sys.argv[1]
SHARED = pathlib.Path(sys.argv[2]) if sys.argv[2:] else pathlib.Path(__file__).parents[2] / "../shared/googlenet"
BOUND = 1e-5
# Layers of 64 to 1024 units, and how many photographs each sees: numpy needs all pairs of positions in memory, of which
# the first layers have most.
LAYERS = {
    "pool1/3x3_s2": 10,
    "inception_3a/output": 25,
    "inception_4a/output": 100,
    "inception_5b/output": 100,
    "pool5/7x7_s1": 100,
}


def run(*arguments):
    subprocess.run([COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)


def ordered_pairs(maps, distance):
    """For each shift over `distance`, the values at the positions with a partner there, and the partners' values."""
    _, _, h, w = maps.shape
    reach = range(-distance, distance + 1)
    for dy, dx in [(dy, dx) for dy in reach for dx in reach if max(abs(dy), abs(dx)) == distance]:
        y, x = slice(max(0, -dy), h - max(0, dy)), slice(max(0, -dx), w - max(0, dx))
        qy, qx = slice(y.start + dy, y.stop + dy), slice(x.start + dx, x.stop + dx)
        yield [np.moveaxis(part, 1, 0).reshape(maps.shape[1], -1) for part in (maps[:, :, y, x], maps[:, :, qy, qx])]


def corrcoef(maps, distance):
    """numpy's correlations, by blocks of 128 units."""
    c = maps.shape[1]
    pairs = [np.concatenate(parts, axis=1) for parts in zip(*ordered_pairs(maps, distance))]
    result = np.empty((c, c))
    for i in range(0, c, 128):
        for j in range(0, c, 128):
            a, b = pairs[0][i : i + 128], pairs[1][j : j + 128]
            with np.errstate(invalid="ignore", divide="ignore"):
                result[i : i + 128, j : j + 128] = np.corrcoef(a, b, dtype=np.float64)[: len(a), len(a) :]
    return result


def close(what, got, expected):
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected)
    assert got.shape == expected.shape, (what, got.shape, expected.shape)
    assert np.array_equal(np.isnan(got), np.isnan(expected)), f"{what}: other units are dead"
    error = np.nanmax(np.abs(got - expected), initial=0.0)
    print(f"{what}: within {error:.1e}")
    assert error <= BOUND, what


def check(endpoint, photographs, inputs, weights, folder):
    out, pictures, x, y = (folder / name for name in ["out", "pictures", "x.npy", "y.npy"])
    pictures.mkdir(exist_ok=True)
    for path in pictures.iterdir():
        path.unlink()
    for path in photographs:
        (pictures / path.name).symlink_to(path.resolve())
    np.save(x, inputs)
    run("run", "--weights", weights, "--input", x, "--output", y, "--endpoint", endpoint, "--force")
    maps = np.load(y)
    run("correlate", pictures, "--weights", weights, "--endpoint", endpoint, "--out", out, "--force")
    got = np.load(out / "correlations.npy")
    report = json.loads((out / "clusters.json").read_text())
    n, c, h, w = maps.shape
    assert report["shape"] == [c, h, w] and report["pictures"] == n and report["unreadable"] == []
    dead = np.flatnonzero(maps.min(axis=(0, 2, 3)) == maps.max(axis=(0, 2, 3)))
    assert report["dead"] == dead.tolist()
    distances = min(3, max(h, w))
    assert len(got) == distances == len(report["distances"])

    expected = np.stack([corrcoef(maps, distance) for distance in range(distances)])
    squares = []
    for distance in range(distances):
        close(f"{endpoint}, distance {distance}", got[distance], expected[distance])
        others = expected[distance][~np.eye(c, dtype=bool)]
        squares.append(np.nanmean(others**2))
        said = report["distances"][distance]
        same = np.nanmean(np.diag(expected[distance]))
        close("  means", [said["mean_square"], said["same_unit"]], [squares[-1], same])
    close("  shares", [said["share_per_pair"] for said in report["distances"]], np.array(squares) / sum(squares))

    maps = maps.astype(np.float64)
    with np.errstate(invalid="ignore"):
        scores = (maps.mean(axis=(2, 3)) - maps.mean(axis=(0, 2, 3))) / maps.std(axis=(0, 2, 3))
    names = [path.name for path in photographs]
    for cluster in report["clusters"]:
        units = cluster["units"]
        if len(units) > 1:
            block = expected[0][np.ix_(units, units)]
            mean = block[~np.eye(len(units), dtype=bool)].mean()
            assert abs(mean - cluster["mean_correlation"]) <= BOUND
        values = scores[:, units].mean(axis=1)
        assert np.abs([values[names.index(p["image"])] - p["value"] for p in cluster["pictures"]]).max() <= BOUND
        best = np.sort(values)[::-1][: len(cluster["pictures"])]
        assert np.abs(best - [p["value"] for p in cluster["pictures"]]).max() <= BOUND
    sizes = sorted(len(cluster["units"]) for cluster in report["clusters"])
    assert sum(sizes) == c - len(dead)


photographs = sorted((SHARED / "images").iterdir())
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    weights = folder / "w.safetensors"
    run("convert", SHARED / "bvlc_googlenet.safetensors", weights)
    inputs = []
    for path in photographs:
        run("preprocess", path, folder / "x.npy", "--weights", weights, "--force")
        inputs.append(np.load(folder / "x.npy"))
    inputs = np.concatenate(inputs)
    for endpoint, count in LAYERS.items():
        check(endpoint, photographs[:count], inputs[:count], weights, folder)
