"""Lets scikit-learn learn what `googlenet learn` learns.

    python tests/oracles/learn.py --write     # the regressions that a unit test compares with: learn.json
    python tests/oracles/learn.py --check     # whether it would write the same, within 1e-8
    python tests/oracles/learn.py GOOGLENET [--classes N] [--pictures N] [--weights FILE]

The last runs the command on folders of pictures made of scikit-image's sample pictures, cut in tiles, and lets
scikit-learn learn from the very features that the command has kept: probabilities of the pictures that were held back differ
by at most 1e-3, accuracies by at most 0.5 points. Needs numpy and scikit-learn; the last, Pillow, scikit-image, SciPy,
safetensors and xxhash, too.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

STORED = pathlib.Path(__file__).with_name("learn.json")


def fitted(x, y, c):
    """The optimum that scikit-learn finds, and its probabilities of `x`.

    Of two classes it makes a regression of one vector of weights, w, where ours has two: w/2 and -w/2, whose squares add up
    to half of w's. Twice the C makes the problems the same.
    """
    twice = 2 if y.max() == 1 else 1
    solver = LogisticRegression(C=c * twice, tol=1e-10, max_iter=100_000, solver="newton-cg")
    with warnings.catch_warnings():
        # Near the optimum its line search finds no lower value, which is the rounding's.
        warnings.simplefilter("ignore")
        return solver.fit(x, y)


def cases():
    random = np.random.default_rng(7)
    for rows, features, classes, c in [(120, 6, 3, 0.05), (80, 4, 2, 1.0), (60, 30, 4, 100.0), (200, 5, 5, 0.001)]:
        centres = random.integers(-3, 4, (classes, features))
        y = np.arange(rows) % classes
        # Few digits, so that the file is short and f32 holds them.
        x = (centres[y] + random.integers(-64, 65, (rows, features)) / 16 + 2).astype(np.float64)
        probabilities = fitted(x, y, c).predict_proba(x)
        yield {
            "features": features,
            "c": c,
            "x": x.ravel().tolist(),
            "y": y.tolist(),
            "probabilities": [round(p, 9) for p in probabilities.ravel().tolist()],
        }


def tiles(folder, classes, count):
    """Folders of tiles, 32x32 pixels each as CIFAR-10's: a class for each sample picture."""
    import skimage.data
    from PIL import Image

    names = ["astronaut", "chelsea", "coffee", "rocket", "coins", "page", "brick", "grass", "gravel", "camera"]
    made = {}
    for name in names:
        try:
            made[name] = getattr(skimage.data, name)()
        except Exception as error:  # not shipped, and there is no network
            print(f"no {name}: {type(error).__name__}")
    random = np.random.default_rng(1)
    for name, picture in list(made.items())[:classes]:
        (folder / name).mkdir(parents=True)
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, 2)
        picture = picture[..., :3]
        for number in range(count):
            side = int(random.integers(32, 97))
            y, x = (int(random.integers(0, length - side + 1)) for length in picture.shape[:2])
            tile = Image.fromarray(picture[y : y + side, x : x + side])
            tile.resize((32, 32), Image.BILINEAR).save(folder / name / f"{number:05}.png")
    return list(made)[:classes]


def kept(path):
    """The features in a cache by content and view."""
    raw = path.read_bytes()
    assert raw[:8] == b"glfeatA\n"
    features = int.from_bytes(raw[24:32], "little")
    length = 24 + 4 * features + 8
    rows = {}
    for at in range(32, len(raw) - length + 1, length):
        record = raw[at : at + length]
        key = int.from_bytes(record[:16], "little"), int.from_bytes(record[16:24], "little")
        rows[key] = np.frombuffer(record[24:-8], "<f4")
    return rows


def judge(googlenet, classes, count, weights):
    import xxhash

    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        names = tiles(place / "pictures", classes, count)
        base = ["--weights", weights] if weights else []
        command = [googlenet, "learn", place / "pictures", place / "own.safetensors", "--json", *base]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        rows = kept(pathlib.Path(report["cache"]))
        learnt, held_back = [], []
        for number, name in enumerate(sorted(names)):
            contents = {xxhash.xxh3_128_intdigest(path.read_bytes()) for path in (place / "pictures" / name).iterdir()}
            contents = sorted(contents)
            cut = min(max(int(len(contents) * 0.2 + 0.5), 1), len(contents) - 2)
            held_back += [(rows[content, 0], number) for content in contents[:cut]]
            learnt += [(rows[content, view], number) for content in contents[cut:] for view in range(report["views"])]
        assert len(learnt) == report["rows"] and len(held_back) == report["held_back"]
        x, y = (np.array(column) for column in zip(*learnt))
        x_held, y_held = (np.array(column) for column in zip(*held_back))
        c = report["candidates"][report["best"]]["c"]
        solver = fitted(x.astype(np.float64), y, c)
        # The file's classifier is divided by the temperature.
        logits = solver.decision_function(x_held.astype(np.float64))
        if logits.ndim == 1:
            logits = np.stack([-logits / 2, logits / 2], 1)
        logits /= report["temperature"]
        probabilities = np.exp(logits - logits.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        weight, bias = classifier(place / "own.safetensors")
        own = x_held.astype(np.float64) @ weight.T.astype(np.float64) + bias
        own = np.exp(own - own.max(1, keepdims=True))
        own /= own.sum(1, keepdims=True)
        difference = np.abs(own - probabilities).max()
        theirs, ours = ((p.argmax(1) == y_held).mean() for p in (probabilities, own))
        assert round(ours * len(y_held)) == report["right"], (ours, report["right"])
        print(
            f"{len(names)} classes, {len(x)} rows of {x.shape[1]} features, {len(y_held)} held back, C {c:.4g}: right "
            f"{100 * ours:.2f} %, scikit-learn {100 * theirs:.2f} %; probabilities differ by {difference:.2e} at most"
        )
        assert difference <= 1e-3 and abs(ours - theirs) <= 0.005


def classifier(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    (name,) = [name for name in header if name.endswith(".weight") and len(header[name]["shape"]) == 2]
    parts = []
    for tensor in (name, name.replace(".weight", ".bias")):
        begin, end = header[tensor]["data_offsets"]
        assert header[tensor]["dtype"] == "F32"
        values = np.frombuffer(raw[8 + length + begin : 8 + length + end], "<f4")
        parts.append(values.reshape(header[tensor]["shape"]))
    return parts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("googlenet", nargs="?")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    if arguments.write:
        STORED.write_text(json.dumps({"cases": list(cases())}, indent=None) + "\n")
    if arguments.check:
        stored = json.loads(STORED.read_text())["cases"]
        for old, new in zip(stored, cases(), strict=True):
            assert old["x"] == new["x"] and old["y"] == new["y"]
            difference = np.abs(np.subtract(old["probabilities"], new["probabilities"])).max()
            assert difference < 1e-8, difference
        print(f"{len(stored)} regressions: the same")
    if arguments.googlenet:
        judge(arguments.googlenet, arguments.classes, arguments.pictures, arguments.weights)


if __name__ == "__main__":
    sys.exit(main())
