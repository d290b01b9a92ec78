"""Classifiers of scikit-learn, on its own digits."""

import copy
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn import linear_model, neural_network, svm  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit import sklearn as ds  # noqa: E402

CLASSIFIERS = {
    "logistic": lambda: linear_model.LogisticRegression(max_iter=300),
    "without a bias": lambda: linear_model.LogisticRegression(max_iter=300, fit_intercept=False),
    "support vectors": lambda: svm.LinearSVC(random_state=0),
    "support vectors without a bias": lambda: svm.LinearSVC(random_state=0, fit_intercept=False),
    "descent, hinge": lambda: linear_model.SGDClassifier(random_state=0),
    "descent, logarithmic": lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0),
    "perceptron": lambda: linear_model.Perceptron(random_state=0),
    "ridge": lambda: linear_model.RidgeClassifier(),
    "network": lambda: neural_network.MLPClassifier((48, 32), max_iter=60, random_state=0),
    "network, tanh": lambda: neural_network.MLPClassifier((32,), "tanh", max_iter=60, random_state=0),
}


def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.4, random_state=0, stratify=y)


def fitted(make, X, y):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make().fit(X, y)


def right(estimator, X, y, of):
    return (estimator.predict(X) == y)[of].mean()


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_forgets_in_place(kind):
    X, X_test, y, y_test = digits()
    model = fitted(CLASSIFIERS[kind], X, y)
    before, kept = right(model, X_test, y_test, y_test != 3), copy.deepcopy(model)
    assert right(model, X_test, y_test, y_test == 3) > 0.7
    done = ds.forget(model, X, y, classes=3, heldout=(X_test, y_test))
    assert done.verdict.passed and done.changed > 0
    assert right(model, X_test, y_test, y_test == 3) <= 0.01
    assert right(model, X_test, y_test, y_test != 3) >= before - 0.02
    # What was found is what is in the classifier, and it can be kept as ever.
    scores = done.verdict.scores
    assert scores.retain.heldout == pytest.approx(right(model, X_test, y_test, y_test != 3), abs=1e-3)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X_test), model.predict(X_test))
    if hasattr(model, "predict_proba"):
        assert model.predict_proba(X_test)[y_test == 3, 3].max() < 0.5
    head, old = (model.coefs_[-1], kept.coefs_[-1]) if kind.startswith("network") else (model.coef_, kept.coef_)
    # What was not changed is what it was, to the last bit.
    same = head.astype(np.float32) == old.astype(np.float32)
    assert same.any() and not same.all() and (head == old)[same].all()
    if kind.startswith("network"):
        assert all(np.array_equal(old, new) for old, new in zip(kept.coefs_[:-1], model.coefs_[:-1]))


@pytest.mark.parametrize("kind", ["logistic", "support vectors", "descent, hinge", "network"])
def test_of_two_classes_one_is_forgotten(kind):
    X, X_test, y, y_test = digits()
    some, some_test = (y == 1) | (y == 7), (y_test == 1) | (y_test == 7)
    names = np.array(["one", "seven"])
    wanted, wanted_test = names[(y[some] == 7).astype(int)], names[(y_test[some_test] == 7).astype(int)]
    model = fitted(CLASSIFIERS[kind], X[some], wanted)
    assert (model.predict(X_test[some_test]) == wanted_test).mean() > 0.95
    captured = ds.capture(model, X[some], wanted)
    if hasattr(model, "predict_proba"):
        powers = np.exp(captured.logits.astype(float))
        shares = powers / powers.sum(1, keepdims=True)
        assert np.allclose(shares, model.predict_proba(X[some]), atol=1e-5)
    done = ds.forget(model, X[some], wanted, classes="seven", heldout=(X_test[some_test], wanted_test))
    # As far as the head's weights tell the classes apart: one of 72 may be left.
    left = (model.predict(X_test[some_test]) == wanted_test)[wanted_test == "seven"].mean()
    assert left == pytest.approx(done.verdict.scores.forget.heldout, abs=1e-6) and left < 0.02
    assert (model.predict(X_test[some_test]) == "one")[wanted_test == "one"].all()


def test_the_end_of_a_pipeline_forgets_texts():
    words = {"sea": "ship harbour sailor wave tide", "oven": "flour butter dough pan salt", "sky": "moon orbit comet star sun"}
    chance = np.random.default_rng(0)
    y = np.array(list(words) * 40)
    X = [" ".join(chance.choice(words[label].split(), 3)) for label in y]
    model = make_pipeline(TfidfVectorizer(), linear_model.LogisticRegression()).fit(X, y)
    assert (model.predict(X) == y).all()
    done = ds.forget(model, X, y, classes=["oven"])
    assert done.verdict.judgement == "not_measured" or done.verdict.passed
    assert (model.predict(X) != "oven").all()
    assert (model.predict(X) == y)[y != "oven"].all()


def test_nothing_else_remembers():
    X, X_test, y, y_test = digits()
    model = fitted(CLASSIFIERS["network"], X, y)
    done = ds.forget(model, X, y, classes=3)
    assert not hasattr(model, "_optimizer") and any("_optimizer" in warning for warning in done.warnings)
    others = y != 3
    model.partial_fit(X[others], y[others])
    assert right(model, X_test, y_test, y_test == 3) <= 0.05
    mean = linear_model.SGDClassifier(average=True, random_state=0).fit(X, y)
    ds.forget(mean, X, y, classes=[3])
    assert np.array_equal(mean._standard_coef, mean.coef_) and np.array_equal(mean._average_coef, mean.coef_)
    mean.partial_fit(X[others], y[others])
    assert right(mean, X_test, y_test, y_test == 3) <= 0.05


def test_a_dry_run_changes_nothing():
    X, _, y, _ = digits()
    model = fitted(CLASSIFIERS["logistic"], X, y)
    kept = model.coef_.copy()
    done = ds.forget(model, X, y, classes=3, dry_run=True)
    assert done.changed > 0 and done.verdict is None and np.array_equal(model.coef_, kept)


def test_a_family_goes_through_a_registry():
    X, X_test, y, y_test = digits()
    base = fitted(CLASSIFIERS["network"], X, y)
    child = copy.deepcopy(base).partial_fit(X[::2], y[::2])
    registry, family = Registry.memory(), {"base": base, "child": child}
    for name, model in family.items():
        registry.add(
            name, ds.tensors(model), labels=[str(n) for n in range(10)], head="head", trained_on="digits",
            parents=[] if name == "base" else ["base"],
        )
    data = ds.data_from(
        {name: ds.capture(model, X, y, heldout=(X_test, y_test)) for name, model in family.items()}, "digits"
    )
    registry.unlearn(classes="3", initial="base", data=data, progress=False)
    for name, model in family.items():
        ds.load(registry, name, model)
        assert right(model, X_test, y_test, y_test == 3) <= 0.01, name
        assert right(model, X_test, y_test, y_test != 3) > 0.9, name


def test_the_example_runs(capsys):
    script = Path(__file__).parents[1] / "examples" / "classifiers.py"
    spec = importlib.util.spec_from_file_location("classifiers", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, (before, after, done) in module.main(["--forget", "3"]).items():
        assert before[0] > 0.8 and after[0] <= 0.02 and after[1] > before[1] - 0.02, name
        assert done.verdict.scores.forget.heldout == pytest.approx(after[0], abs=1e-6)
    assert "SGDClassifier" in capsys.readouterr().out


def test_refusals_are_in_words():
    X, _, y, _ = digits()
    model = fitted(CLASSIFIERS["logistic"], X, y)
    many = neural_network.MLPClassifier((8,), max_iter=5).fit(X, np.stack([y == 1, y == 2, y == 3], 1))
    for what, words in [
        (lambda: ds.forget(RandomForestClassifier(2).fit(X, y), X, y, classes=3), "no linear head"),
        (lambda: ds.forget(model, X, y, classes=11), "unknown label `11`"),
        (lambda: ds.forget(model, X, y + 1, classes=3), "none of the classes"),
        (lambda: ds.forget(model, X[1:], y, classes=3), "labels for"),
        (lambda: ds.forget(many, X, y, classes=1), "several labels"),
        (lambda: ds.forget(copy.deepcopy(model).sparsify(), X, y, classes=3), "densify"),
    ]:
        with pytest.raises(DisinheritError, match=words):
            what()
    assert (model.predict(X) == 3).any()
