"""What came of a picture: a sequence of the likeliest classes, which prints well and shows itself in a notebook."""

from __future__ import annotations

import base64
import html
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ._native import Error, Model


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class and how likely it is."""

    index: int
    """The class, counted from 0."""
    label: str
    """The class's name; empty if the weights have no labels."""
    probability: float
    """0 to 1; the probabilities of all classes add up to 1."""

    def __str__(self) -> str:
        return f"{100 * self.probability:6.2f} %  {self.index:>4}  {_printable(self.label)}".rstrip()


class ClassMap(NamedTuple):
    """Where in a picture a class is seen."""

    values: NDArray[np.float32]
    """How much each position speaks for the class, [h, w]; their mean and the bias add up to the class's logit."""
    bias: float
    """The classifier's bias for the class: what speaks for it whatever the picture shows."""


class Predictions(Sequence[Prediction]):
    """The likeliest classes of a picture, the likeliest first."""

    __slots__ = ("_model", "_source", "_top", "embedding")

    embedding: NDArray[np.float32] | None
    """The picture's features, where they were asked for."""

    def __init__(
        self,
        top: Sequence[tuple[int, str, float]],
        source: Any = None,
        model: Model | None = None,
        embedding: NDArray[np.float32] | None = None,
    ) -> None:
        self._top = tuple(Prediction(*row) for row in top)
        self._source = source
        self._model = model
        self.embedding = embedding

    @property
    def source(self) -> Any:
        """The picture, as it was handed in; of an iterable's pictures only paths are kept, others are None."""
        return self._source

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Prediction, ...]: ...
    def __getitem__(self, index: int | slice) -> Prediction | tuple[Prediction, ...]:
        return self._top[index]

    def __len__(self) -> int:
        return len(self._top)

    def __eq__(self, other: object) -> bool:
        return self._top == other._top if isinstance(other, Predictions) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._top)

    def __reduce__(self) -> tuple[Any, ...]:
        # A picture may be large, and need not be one that can be pickled; a path is all that goes along.
        source = self._source if _is_path(self._source) else None
        rows = tuple((one.index, one.label, one.probability) for one in self._top)
        return Predictions, (rows, source, self._model, self.embedding)

    def __repr__(self) -> str:
        lines = [f"  {prediction}" for prediction in self._top]
        return "\n".join([_printable(self._name()), *lines])

    def _name(self) -> str:
        return os.path.basename(os.fspath(self._source)) if _is_path(self._source) else "picture"

    def _repr_html_(self) -> str:
        name = html.escape(_printable(self._name()))
        figures = "".join(self._figures())
        rows = "".join(_bar(prediction) for prediction in self._top)
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;font-family:system-ui,sans-serif">'
            f'{figures}<table style="border-collapse:collapse;flex:1 1 260px;max-width:520px" aria-label="classes of {name}">'
            f'<caption style="text-align:left;font-weight:600;padding-bottom:4px">{name}</caption>{rows}</table></div>'
        )

    def _figures(self) -> list[str]:
        """The picture as the network sees it, and the map of the likeliest class over it, if they can be had."""
        if self._model is None or self._source is None:
            return []
        try:
            crop = self._model.crop(self._source)
        except (Error, OSError, ValueError):
            return []  # the file was there when it was classified
        picture = _data_uri(_png(crop))
        figures = [_figure(f'<img src="{picture}" alt="the picture, as the network sees it" {_SIZE}>', "")]
        if not self._top:
            return figures
        try:
            session = self._model.session(threads=1, class_maps=True)
            if session.class_map_shape is None:
                return figures  # a network without a linear end has none
            session.run(self._model.prepare(self._source)[np.newaxis])
            heat = _data_uri(_png(_heat(session.class_map(self._top[0].index).values)))
        except (Error, OSError, ValueError):
            return figures
        label = html.escape(_printable(self._top[0].label or str(self._top[0].index)))
        over = f'<img src="{heat}" alt="" style="position:absolute;inset:0;width:224px;height:224px">'
        text = f'<img src="{picture}" alt="where {label} is seen" {_SIZE}>{over}'
        figures.append(_figure(text, f"where {label} is seen"))
        return figures


_SIZE = 'style="width:224px;height:224px;display:block"'


def _figure(inside: str, caption: str) -> str:
    below = f'<figcaption style="font-size:12px">{caption}</figcaption>' if caption else ""
    return f'<figure style="margin:0"><div style="position:relative;width:224px">{inside}</div>{below}</figure>'


def _bar(prediction: Prediction) -> str:
    share = prediction.probability if prediction.probability == prediction.probability else 0.0
    label = html.escape(_printable(prediction.label or str(prediction.index)))
    return (
        f'<tr><td style="text-align:left;padding:2px 8px 2px 0">{label}</td>'
        f'<td style="text-align:right;padding:2px 8px;white-space:nowrap">{100 * prediction.probability:.2f} %</td>'
        '<td style="width:50%;padding:2px 0"><div style="background:#8884;height:12px;border-radius:2px">'
        f'<div style="background:#2a78d6;height:12px;border-radius:2px;width:{100 * share:.2f}%"></div></div></td></tr>'
    )


def _heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A class map as RGBA: what speaks for the class is orange, the more the less one sees through it."""
    most = float(values.max(initial=0.0))
    share = np.clip(values / most, 0, 1) if most > 0 else np.zeros_like(values)
    rgba = np.empty((*values.shape, 4), np.uint8)
    rgba[..., :3] = (255, 96, 0)
    rgba[..., 3] = np.rint(150 * share)
    return rgba


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file (RFC 2083) of RGB or RGBA pixels [h, w, 3 or 4]."""
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    data = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()  # each row begins with its filter

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _is_path(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike))


def _printable(text: str) -> str:
    """A text without characters that would control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _predictions(
    top: Sequence[tuple[int, str, float]],
    source: Any,
    model: Model | None,
    embedding: NDArray[np.float32] | None,
) -> Predictions:
    """What the native part makes results with."""
    return Predictions(top, source, model, embedding)


def _model(path: str | os.PathLike[str] | None, map: bool) -> Model:
    """What a pickled model is made of again."""
    return Model.demo() if path is None else Model.open(path, map=map)
