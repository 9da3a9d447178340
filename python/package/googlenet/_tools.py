"""What the command's subcommands `convert`, `quantize` and `eval` do, with results as dataclasses."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Union

from . import _native
from ._native import Model

Path = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Converted:
    """A weight file that `convert` has written."""

    path: str
    network: str
    dialect: str
    classes: int
    side: int
    labelled: bool
    """Whether the file has labels."""

    def __str__(self) -> str:
        labels = "labels" if self.labelled else "no labels"
        return f"{self.path}: {self.network} ({self.dialect}), {self.classes} classes, {labels}, {self.side}x{self.side}"


def convert(
    source: Path,
    target: Path,
    *,
    labels: Path | None = None,
    dialect: str | None = None,
    preset: str | None = None,
    channels: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    resize: int | None = None,
    side: int | None = None,
    f16: bool = False,
    force: bool = False,
) -> Converted:
    """Convert weights (ONNX, .caffemodel, .safetensors, .npz) to a file that `Model.open` opens.

    `labels` is a text file with a line for each class. How pictures become input is stored with the weights: what an
    argument says, else what the source says, else what its authors did. `googlenet convert --help` says more.
    An existing target raises `FileExistsError`; `force=True` replaces it.
    """
    words, _ = _call(
        "convert",
        [source, target],
        labels=labels,
        dialect=dialect,
        preset=preset,
        channels=channels,
        mean=_triple(mean),
        std=_triple(std),
        resize=resize,
        side=side,
        f16=f16,
        force=force,
    )
    for text in words:
        if text.startswith("warning: "):
            warnings.warn(text.removeprefix("warning: "), stacklevel=2)
    model = Model.open(target)
    return Converted(
        os.fspath(target), model.network, model.dialect, model.classes, model.side, labelled=bool(model.labels)
    )


@dataclass(frozen=True)
class Candidate:
    """A way to find scales."""

    clipping: str
    """Which value becomes the largest byte: maximum, percentile, squared-error."""
    corrected_biases: bool
    """Whether biases take back what the rounding of weights adds."""
    rms_error: float
    """The error on some of the pictures; infinite where logits were."""


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer that was looked at."""

    name: str
    int8: bool
    """Whether it computes in int8."""
    alone: float
    """The error on a few pictures when no other layer does."""


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read."""

    image: str
    error: str


@dataclass(frozen=True)
class Quantized:
    """What came of `quantize`. Errors are the root mean square of the logits' difference from f32, by that of f32's."""

    path: str
    network: str
    dialect: str
    calibrated: int
    """How many pictures calibrated."""
    held_back: int
    """How many pictures were held back to judge."""
    rms_error: float
    """The error of what was written on these."""
    agreement: float
    """The share of these whose likeliest class is the same as in f32."""
    none: float
    """The error on a few pictures when no layer computes in int8."""
    candidates: tuple[Candidate, ...]
    layers: tuple[QuantizedLayer, ...]
    unreadable: tuple[Unreadable, ...]

    def __str__(self) -> str:
        count = sum(layer.int8 for layer in self.layers)
        return (
            f"{self.path}: {count} of {len(self.layers)} layers in int8; on {self.held_back} pictures that were held back "
            f"the error is {100 * self.rms_error:.2f} %, the likeliest class agrees for {100 * self.agreement:.2f} %"
        )


def quantize(
    source: Path,
    target: Path,
    *,
    images: Path,
    max_error: float | None = None,
    threads: int | None = None,
    force: bool = False,
) -> Quantized:
    """Find scales for int8 on the pictures in the folder `images`, and write weights with them.

    With `max_error` (0.02 is 2 %) the most sensitive layers are kept in a higher precision, as few as make the error on the
    pictures that were held back at most that. `googlenet quantize --help` says more.
    """
    _, out = _call(
        "quantize", [source, target], images=images, max_error=max_error, threads=threads, json=True, force=force
    )
    report = json.loads(out)
    held_back = report["held_back"]
    return Quantized(
        path=os.fspath(target),
        network=report["network"],
        dialect=report["dialect"],
        calibrated=report["calibrated"],
        held_back=held_back["pictures"],
        rms_error=_error(held_back["rms_error"]),
        agreement=held_back["agreement"],
        none=_error(report["none"]),
        candidates=tuple(
            Candidate(one["clipping"], one["corrected_biases"], _error(one["rms_error"])) for one in report["candidates"]
        ),
        layers=tuple(QuantizedLayer(one["name"], one["int8"], _error(one["alone"])) for one in report["layers"]),
        unreadable=_unreadable(report),
    )


@dataclass(frozen=True)
class Accuracy:
    """How often a class was recognised."""

    index: int
    id: str | None
    """The class's synset id, if the labels have it."""
    label: str | None
    pictures: int
    top1: int
    """For how many of its pictures it was the likeliest class."""
    top5: int
    """For how many it was among the five likeliest."""
    taken_for: tuple[tuple[int, str | None, int], ...]
    """The other classes that were the likeliest: index, label, and how often, the most frequent first."""


@dataclass(frozen=True)
class Opinion:
    """How often one of the network's ends was right: `main`, an auxiliary head, or the `mean` of all."""

    name: str
    top1: float
    top5: float
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """How often weights are right."""

    pictures: int
    """How many pictures could be read."""
    top1: float
    """The share of pictures whose own class is the likeliest."""
    top5: float
    """The share of pictures whose own class is among the five likeliest."""
    calibration_error: float
    """How far confidence and accuracy lie apart, 0 to 1."""
    crops: int
    models: int
    images_per_second: float | None
    """The speed; None if all pictures were judged before."""
    classes: tuple[Accuracy, ...]
    """The classes that have pictures, in order."""
    worst: tuple[Accuracy, ...]
    """Those that are recognised least often, the least first."""
    heads: tuple[Opinion, ...]
    """Where the weights have auxiliary heads, how often each was right."""
    unreadable: tuple[Unreadable, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.pictures} pictures, {self.crops} crops, {self.models} models",
            f"top-1        {100 * self.top1:6.2f} %",
            f"top-5        {100 * self.top5:6.2f} %",
            f"calibration  {100 * self.calibration_error:6.2f} %  expected error",
        ]
        if self.unreadable:
            lines.append(f"unreadable   {len(self.unreadable):6}")
        return "\n".join(lines)


def eval(
    pictures: Path,
    models: Model | Path | Sequence[Model | Path] | None = None,
    *,
    labels: Path | None = None,
    crops: int = 1,
    threads: int | None = None,
    precision: str = "f32",
    heads: bool = True,
    journal: Path | None = None,
) -> Evaluation:
    """Judge weights on the pictures of a folder, or of a list file, whose classes are known.

    `models` are models or paths of weight files, by default the demonstration weights; of several the probabilities are
    averaged. The folder holds folders that are named by class, or pictures whose names begin with a synset id. A class is
    named by its synset id, its label or its number. `googlenet eval --help` says more.

    Ctrl-C ends it after the picture at hand; with `journal` the next call goes on from there.
    """
    if models is None:
        models = Model.demo()
    if isinstance(models, (Model, str, os.PathLike)):
        models = [models]
    opened = [model if isinstance(model, Model) else Model.open(model) for model in models]
    if not opened:
        raise ValueError("no models to judge")
    _, out = _call(
        "eval",
        [pictures],
        opened,
        labels=labels,
        crops=crops,
        threads=threads,
        precision=precision,
        no_heads=not heads,
        journal=journal,
        json=True,
    )
    report = json.loads(out)
    classes = tuple(
        Accuracy(
            index=one["class"],
            id=one["id"],
            label=one["label"],
            pictures=one["pictures"],
            top1=one["top1"],
            top5=one["top5"],
            taken_for=tuple((other["class"], other["label"], other["count"]) for other in one["taken_for"]),
        )
        for one in report["classes"]
    )
    by_index = {one.index: one for one in classes}
    opinions = (report["heads"] or {"opinions": []})["opinions"]
    return Evaluation(
        pictures=report["pictures"],
        top1=report["top1"],
        top5=report["top5"],
        calibration_error=report["calibration_error"],
        crops=report["crops"],
        models=report["models"],
        images_per_second=report["images_per_second"],
        classes=classes,
        worst=tuple(by_index[index] for index in report["worst"]),
        heads=tuple(Opinion(**{field.name: one[field.name] for field in fields(Opinion)}) for one in opinions),
        unreadable=_unreadable(report),
    )


def _call(name: str, paths: Sequence[Path], models: Sequence[Model] = (), **options: Any) -> tuple[list[str], bytes]:
    """Call the command: `name`, options that are neither None nor False, paths. Returns its words and its output."""
    args: list[str] = ["googlenet", name]
    for key, value in options.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            args.append(option)
        elif value is not None and value is not False:
            args.append(f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    # A path may begin with a hyphen.
    return _native.call([*args, "--", *(os.fspath(path) for path in paths)], list(models))


def _triple(values: Sequence[float] | None) -> str | None:
    return None if values is None else ",".join(repr(float(value)) for value in values)


def _error(value: float | None) -> float:
    """An error of a report, in which null stands for one that is not finite."""
    return float("inf") if value is None else value


def _unreadable(report: dict[str, Any]) -> tuple[Unreadable, ...]:
    return tuple(Unreadable(one["image"], one["error"]) for one in report["unreadable"])
