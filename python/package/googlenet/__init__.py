"""GoogLeNet and its predecessors on CPUs.

>>> import googlenet
>>> session = googlenet.Model.demo().session()
>>> session.classify(googlenet.photograph())[0].label
'cat'

`Model` holds weights, `Session` runs them, `Ensemble` averages models and crops; `convert`, `quantize` and `eval` do what
the command's do. What cannot be used raises `Error`, `ValueError` for an argument, `FileNotFoundError` for a missing file.
"""

from ._native import Ensemble, Error, Model, Results, Session, __version__, photograph
from ._predictions import ClassMap, Prediction, Predictions
from ._tools import (
    Accuracy,
    Candidate,
    Converted,
    Evaluation,
    Opinion,
    Quantized,
    QuantizedLayer,
    Unreadable,
    convert,
    eval,
    quantize,
)

__all__ = [
    "Accuracy",
    "Candidate",
    "ClassMap",
    "Converted",
    "Ensemble",
    "Error",
    "Evaluation",
    "Model",
    "Opinion",
    "Prediction",
    "Predictions",
    "Quantized",
    "QuantizedLayer",
    "Results",
    "Session",
    "Unreadable",
    "__version__",
    "convert",
    "eval",
    "photograph",
    "quantize",
]
