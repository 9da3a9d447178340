"""The extension module's types."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, final, overload

import numpy as np
from numpy.typing import NDArray

from ._predictions import ClassMap, Predictions

__all__ = ["Ensemble", "Error", "Model", "Results", "Session", "__version__", "call", "main", "photograph"]

__version__: str

class _PilImage(Protocol):
    """What tells an image of Pillow, which need not be installed."""

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def mode(self) -> str: ...
    def tobytes(self) -> bytes: ...

_Path: TypeAlias = str | os.PathLike[str]
_Picture: TypeAlias = _Path | bytes | bytearray | memoryview | NDArray[np.uint8] | _PilImage

class Error(Exception):
    """A file, weights or a picture that cannot be used, or a session that is in use."""

@final
class Model:
    @staticmethod
    def open(path: _Path, *, map: bool = False) -> Model: ...
    @staticmethod
    def demo() -> Model: ...
    def session(
        self,
        *,
        threads: int | None = None,
        batch: int = 1,
        precision: str = "f32",
        endpoints: Iterable[str] | None = None,
        side: int | None = None,
        class_maps: bool = False,
        isa: str | None = None,
    ) -> Session: ...
    def prepare(self, picture: _Picture) -> NDArray[np.float32]: ...
    def crop(self, picture: _Picture) -> NDArray[np.uint8]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def network(self) -> str: ...
    @property
    def dialect(self) -> str: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def path(self) -> Any: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

# A text or an array is an iterable, too: the first signature that fits counts.
@final
class Session:
    @overload
    def classify(  # type: ignore[overload-overlap]
        self, x: _Picture, top: int = 5, *, embed: bool = False, errors: Literal["raise", "return"] = "raise"
    ) -> Predictions: ...
    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        x: list[Any] | tuple[Any, ...],
        top: int = 5,
        *,
        embed: bool = False,
        errors: Literal["raise"] = "raise",
    ) -> list[Predictions]: ...
    @overload
    def classify(  # type: ignore[overload-overlap]
        self, x: list[Any] | tuple[Any, ...], top: int = 5, *, embed: bool = False, errors: Literal["return"]
    ) -> list[Predictions | Exception]: ...
    @overload
    def classify(
        self, x: Iterable[Any], top: int = 5, *, embed: bool = False, errors: Literal["raise"] = "raise"
    ) -> Iterator[Predictions]: ...
    @overload
    def classify(
        self, x: Iterable[Any], top: int = 5, *, embed: bool = False, errors: Literal["return"]
    ) -> Iterator[Predictions | Exception]: ...
    @overload
    def embed(self, x: _Picture | list[Any] | tuple[Any, ...], *, errors: Literal["raise"] = "raise") -> NDArray[np.float32]: ...  # type: ignore[overload-overlap]
    @overload
    def embed(self, x: Iterable[Any], *, errors: Literal["raise"] = "raise") -> Iterator[NDArray[np.float32]]: ...
    @overload
    def embed(self, x: Iterable[Any], *, errors: Literal["return"]) -> Iterator[NDArray[np.float32] | Exception]: ...
    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def endpoint(self, name: str) -> NDArray[np.float32]: ...
    def class_map(self, index: int, image: int = 0) -> ClassMap: ...
    @property
    def batch(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def precision(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def uses_packed_file(self) -> bool: ...
    @property
    def endpoints(self) -> tuple[str, ...]: ...
    @property
    def class_map_shape(self) -> tuple[int, int] | None: ...

@final
class Ensemble:
    def __new__(
        cls,
        models: Model | Iterable[Model],
        *,
        crops: int = 1,
        threads: int | None = None,
        precision: str = "f32",
    ) -> Ensemble: ...
    @overload
    def classify(self, x: _Picture, top: int = 5, *, errors: Literal["raise", "return"] = "raise") -> Predictions: ...  # type: ignore[overload-overlap]
    @overload
    def classify(  # type: ignore[overload-overlap]
        self, x: list[Any] | tuple[Any, ...], top: int = 5, *, errors: Literal["raise"] = "raise"
    ) -> list[Predictions]: ...
    @overload
    def classify(  # type: ignore[overload-overlap]
        self, x: list[Any] | tuple[Any, ...], top: int = 5, *, errors: Literal["return"]
    ) -> list[Predictions | Exception]: ...
    @overload
    def classify(self, x: Iterable[Any], top: int = 5, *, errors: Literal["raise"] = "raise") -> Iterator[Predictions]: ...
    @overload
    def classify(
        self, x: Iterable[Any], top: int = 5, *, errors: Literal["return"]
    ) -> Iterator[Predictions | Exception]: ...
    def probabilities(self, picture: _Picture) -> NDArray[np.float32]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> int: ...
    @property
    def crops(self) -> int: ...

@final
class Results:
    """Results, one after the other."""

    def __iter__(self) -> Results: ...
    def __next__(self) -> Any: ...

def main(args: Sequence[_Path]) -> int: ...
def call(args: Sequence[_Path], models: Sequence[Model]) -> tuple[list[str], bytes]: ...
def photograph() -> bytes: ...
