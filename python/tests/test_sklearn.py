"""The transformer, as scikit-learn sees it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import googlenet
import numpy as np
import pytest
from conftest import CAT, WEIGHTS

pytest.importorskip("sklearn")
from googlenet.sklearn import GoogLeNetFeatures  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator  # noqa: E402


def test_scikit_learn_s_own_checks_pass() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that checks on tables of numbers, which are no pictures, are left out
        results = check_estimator(GoogLeNetFeatures(threads=1))
        assert list(estimator_checks_generator(GoogLeNetFeatures(threads=1)))
    assert results and all(result["status"] == "passed" for result in results), results


def test_features_are_the_session_s(pictures: Path) -> None:
    paths = sorted(pictures.rglob("*.png"))[:6]
    expected = googlenet.Model.demo().session().embed(paths)
    ways = [paths, [p.read_bytes() for p in paths], np.array([str(p) for p in paths]), np.array([[p] for p in paths], object)]
    for way in ways:
        assert np.array_equal(GoogLeNetFeatures(batch=4).fit(way).transform(way), expected)
    features = GoogLeNetFeatures(WEIGHTS)
    assert np.array_equal(features.fit_transform(paths), expected)
    assert features.get_feature_names_out()[1023] == "googlenet1023"
    for again in (clone(features), pickle.loads(pickle.dumps(features))):
        assert np.array_equal(again.transform(paths), expected)
    features.set_params(weights="none.safetensors")
    with pytest.raises(FileNotFoundError):
        features.fit(paths)


def test_a_classifier_learns_classes_of_one_s_own(pictures: Path) -> None:
    cats = [np.asarray(googlenet.Model.demo().crop(path)) for path in sorted(pictures.rglob("*.png"))[:10]]
    rng = np.random.default_rng(2)
    noise = [np.asarray(rng.integers(0, 256, (64, 64, 3)), np.uint8) for _ in range(10)]
    classes = ["cat"] * 10 + ["noise"] * 10
    classifier = make_pipeline(GoogLeNetFeatures(), LogisticRegression(max_iter=2000))
    classifier.fit(cats[:7] + noise[:7], classes[:7] + classes[10:17])
    assert classifier.score(cats[7:] + noise[7:], classes[7:10] + classes[17:]) == 1


def test_what_are_no_pictures_is_refused() -> None:
    features = GoogLeNetFeatures(threads=1)
    for other in (str(CAT), np.zeros((4, 4)), np.array([["a", "b"]], object)):
        with pytest.raises(ValueError, match="expected"):
            features.transform(other)
