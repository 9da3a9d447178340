"""What tests share: the demonstration weights, the built-in photograph, and the command of the same build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import googlenet
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights" / "demo.safetensors"
CAT = ROOT / "weights" / "chelsea.png"
REAL = ROOT / "../shared/googlenet/bvlc_googlenet.safetensors"
"""The real weights, as PyTorch's programs keep them, where they are."""


@pytest.fixture(scope="session")
def model() -> googlenet.Model:
    return googlenet.Model.demo()


@pytest.fixture
def session(model: googlenet.Model) -> googlenet.Session:
    return model.session(threads=1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 24 pictures in folders of two classes: parts of the photograph, which is all there is of a cat."""
    from PIL import Image

    whole = Image.open(CAT).convert("RGB")
    rng = np.random.default_rng(7)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
    for index in range(24):
        x, y = rng.integers(0, 120), rng.integers(0, 60)
        part = whole.crop((x, y, x + 240 + index, y + 230))
        part.save(tmp_path / "pictures" / ("cat" if index % 3 else "dog") / f"{index:02}.png")
    return tmp_path / "pictures"


def command(*args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: the program that $GOOGLENET_COMMAND names, which Cargo built without Python, else
    the one in the package, which has the code of the module that it is compared with."""
    program = os.environ.get("GOOGLENET_COMMAND")
    return _run([program] if program else [sys.executable, "-m", "googlenet"], *args, check=check)


def package_command(*args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command of the package in a process of its own."""
    return _run([sys.executable, "-m", "googlenet"], *args, check=check)


def _run(program: list[str], *args: object, check: bool) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *map(str, args)], check=check, capture_output=True, text=True, timeout=120)


def needs(what: str, is_here: bool) -> pytest.MarkDecorator:
    """Skips a test, or a module of tests, where `what` is missing; where $GOOGLENET_PROMISED names it, it is run, and fails."""
    return pytest.mark.skipif(not is_here and not is_promised(what), reason=f"{what}: not here, and not promised")


def is_promised(what: str) -> bool:
    """Whether this machine was said to have `what`."""
    return what in os.environ.get("GOOGLENET_PROMISED", "").split()


@pytest.fixture(scope="session")
def real_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real weights, as `convert` writes them."""
    weights = tmp_path_factory.mktemp("real") / "googlenet.safetensors"
    googlenet.convert(REAL, weights)
    return weights


def inputs(count: int, side: int = 64) -> np.ndarray:
    """Prepared inputs, [count, 3, side, side]."""
    return np.random.default_rng(3).standard_normal((count, 3, side, side), dtype=np.float32)
