"""GoogLeNet's features as a transformer of scikit-learn.

>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.pipeline import make_pipeline
>>> from googlenet.sklearn import GoogLeNetFeatures
>>> classifier = make_pipeline(GoogLeNetFeatures(), LogisticRegression())

`classifier.fit(pictures, classes)` then trains a classifier on one's own classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from ._native import Model, Session

__all__ = ["GoogLeNetFeatures"]


class GoogLeNetFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pictures to the features that the network's classifier sees, 1024 for GoogLeNet.

    Samples are what `Session.classify` takes: paths, bytes of JPEG or PNG files, PIL images, arrays [h, w, 3] of uint8. They
    come as a list, an array or a column of a table. There is nothing to fit: `fit` only opens the weights.

    weights: a weight file's path, or a `Model`; by default the demonstration weights, whose features are those of a network
        that was trained on ten kinds of things at 64x64 pixels.
    threads, batch, precision: as of `Model.session`.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | Model | None = None,
        *,
        threads: int | None = None,
        batch: int = 1,
        precision: str = "f32",
    ) -> None:
        self.weights = weights
        self.threads = threads
        self.batch = batch
        self.precision = precision

    def fit(self, X: Iterable[Any], y: Any = None) -> GoogLeNetFeatures:
        """Open the weights. Neither pictures nor classes are looked at."""
        self._session()
        return self

    def transform(self, X: Iterable[Any]) -> NDArray[np.float32]:
        """The features of pictures: float32, [n, features]."""
        features: NDArray[np.float32] = self._session().embed(_pictures(X))
        return features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The features' names: googlenet0, googlenet1, ..."""
        count = self._session().embed([]).shape[1]
        return np.array([f"googlenet{index}" for index in range(count)], dtype=object)

    def _session(self) -> Session:
        """The session of these parameters, which may have been set since the last call."""
        key = (self.weights, self.threads, self.batch, self.precision)
        made = self.__dict__.get("_made")
        if made is None or made[0] != key or made[1] != os.getpid():
            weights = self.weights
            if weights is None:
                model = Model.demo()
            else:
                model = weights if isinstance(weights, Model) else Model.open(weights)
            made = (key, os.getpid(), model.session(threads=self.threads, batch=self.batch, precision=self.precision))
            self._made = made
        session: Session = made[2]
        return session

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_made"}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags


def _pictures(X: Iterable[Any]) -> list[Any]:
    """Samples as a list: the rows of a table of one column are that column's."""
    if isinstance(X, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise ValueError("expected several pictures, found one; hand in a list")
    rows: Any = X
    if hasattr(rows, "iloc") and getattr(rows, "ndim", 1) == 2:
        if rows.shape[1] != 1:
            raise ValueError(f"expected one column of pictures, found {rows.shape[1]}")
        rows = rows.iloc[:, 0]
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "OUS":
        if rows.ndim == 2 and rows.shape[1] == 1:
            rows = rows[:, 0]
        if rows.ndim != 1:
            raise ValueError(f"expected one column of pictures, found an array of shape {list(rows.shape)}")
        return list(rows.tolist())
    if isinstance(rows, np.ndarray) and rows.ndim != 4:
        raise ValueError(f"expected pictures [n, h, w, 3] of uint8, found an array of shape {list(rows.shape)}")
    return list(rows)
