"""What tests share: the demonstration weights, the built-in photograph, and the command of the same build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import googlenet
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights" / "demo.safetensors"
CAT = ROOT / "weights" / "chelsea.png"


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
    """Run the command of the package in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "googlenet", *map(str, args)], check=check, capture_output=True, text=True, timeout=120
    )


def inputs(count: int, side: int = 64) -> np.ndarray:
    """Prepared inputs, [count, 3, side, side]."""
    return np.random.default_rng(3).standard_normal((count, 3, side, side), dtype=np.float32)
