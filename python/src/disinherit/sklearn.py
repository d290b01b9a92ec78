"""Classifiers of scikit-learn: make them forget in place, or keep them in a registry.

>>> from disinherit.sklearn import forget
>>> forget(estimator, X, y, classes=["cat"], heldout=(X_test, y_test))

Logistic regression, linear support vector machines, ``SGDClassifier``, ``Perceptron`` and ``RidgeClassifier`` are
heads and nothing else; of an ``MLPClassifier`` the last layer is the head. A pipeline is what its last step is.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ._arguments import Labels
from ._arrays import Floats
from ._capture import Capture, data_from
from ._disinherit import DisinheritError
from ._forgotten import Forgotten, forget_alone, known
from ._registry import Registry

__all__ = ["Capture", "Forgotten", "capture", "data_from", "forget", "label_names", "load", "tensors"]

_LINEAR = (LogisticRegression, LinearSVC, SGDClassifier, Perceptron, RidgeClassifier)

#: What else a fitted estimator may keep that remembers its weights: coefficients of folds, an optimizer's moments.
_TRACES = ("coefs_paths_", "_optimizer")

#: What an averaging ``SGDClassifier`` goes on from, and what that is made of here.
_AVERAGED = {
    "_standard_coef": "coef_",
    "_average_coef": "coef_",
    "_standard_intercept": "intercept_",
    "_average_intercept": "intercept_",
}

_ACTIVATIONS: Dict[str, Callable[[Any], Any]] = {
    "identity": lambda values: values,
    "logistic": lambda values: 1 / (1 + np.exp(-values)),
    "tanh": np.tanh,
    "relu": lambda values: np.maximum(values, 0),
}

#: A head: weight ``[classes, inputs]``, bias ``[classes]``.
_Head = Tuple[NDArray[Any], NDArray[Any]]


def _classifier(estimator: Any) -> Any:
    """The classifier at the end of an estimator, where it is one that can forget."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, (*_LINEAR, MLPClassifier)):
        names = ", ".join(kind.__name__ for kind in (*_LINEAR, MLPClassifier))
        raise DisinheritError(
            f"{type(last).__name__} has no linear head that is known here: {names} can forget, alone or at the end of a pipeline"
        )
    check_is_fitted(last)
    of_labels = isinstance(last, MLPClassifier) and last.out_activation_ == "logistic" and len(last.classes_) > 2
    if of_labels or np.ndim(last.classes_) != 1 or (isinstance(last, RidgeClassifier) and np.ndim(last.intercept_) > 1):
        raise DisinheritError("it gives several labels to a sample: only classifiers with one label each can forget")
    if isinstance(last, _LINEAR) and not isinstance(last.coef_, np.ndarray):
        raise DisinheritError("its coefficients are sparse: call `densify()` first")
    return last


def label_names(estimator: Any) -> List[str]:
    """The names of a classifier's classes."""
    return [str(label) for label in _classifier(estimator).classes_]


def _head(last: Any) -> _Head:
    """The head of a classifier, a row for each class.

    Of two classes scikit-learn keeps the difference alone, ``w = w1 - w0``; here they are ``-w / 2`` and ``w / 2``,
    whose softmax is the sigmoid of ``w``.
    """
    if isinstance(last, MLPClassifier):
        weight, bias = last.coefs_[-1].T, last.intercepts_[-1]
    else:
        weight, bias = last.coef_, last.intercept_
    weight = np.atleast_2d(weight)
    bias = np.broadcast_to(np.asarray(bias, weight.dtype).reshape(-1), len(weight))
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    return np.ascontiguousarray(weight), np.ascontiguousarray(bias)


def _put(last: Any, weight: NDArray[Any], bias: NDArray[Any]) -> List[str]:
    """Put a head into a classifier; the names of what was removed since it remembers the one before."""
    if len(last.classes_) == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    if isinstance(last, MLPClassifier):
        last.coefs_[-1][...], last.intercepts_[-1][...] = weight.T, bias
    else:
        last.coef_ = weight.astype(last.coef_.dtype).reshape(last.coef_.shape)
        last.intercept_ = bias.astype(last.coef_.dtype)
    for name, new in _AVERAGED.items():
        if vars(last).get(name) is not None:
            setattr(last, name, getattr(last, new).reshape(vars(last)[name].shape).copy())
    traces = [name for name in _TRACES if vars(last).get(name) is not None]
    for name in traces:
        delattr(last, name)
    return traces


def _features(estimator: Any, last: Any, X: Any) -> Floats:
    """What goes into the head."""
    rows = X
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        rows = estimator[:-1].transform(X)
    rows = check_array(rows, accept_sparse="csr")
    if isinstance(last, MLPClassifier):
        act = _ACTIVATIONS[last.activation]
        for weight, bias in zip(last.coefs_[:-1], last.intercepts_[:-1]):
            rows = act(rows @ weight + bias)
    if hasattr(rows, "toarray"):
        rows = rows.astype(np.float32).toarray()
    return np.ascontiguousarray(rows, np.float32)


def _indices(last: Any, y: Any) -> NDArray[np.int64]:
    wanted = np.asarray(y)
    places = {label: place for place, label in enumerate(last.classes_.tolist())}
    try:
        return np.array([places[label] for label in wanted.tolist()], np.int64)
    except (KeyError, TypeError) as error:
        raise DisinheritError(f"`y` has {error}, which is none of the classes {', '.join(label_names(last))}") from None


def capture(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    heldout: Optional[Tuple[Any, Any]] = None,
    ids: Optional[Sequence[str]] = None,
    heldout_ids: Optional[Sequence[str]] = None,
) -> Capture:
    """What goes into a classifier's head and what comes out, for its training samples and for ``heldout`` ones.

    ``heldout`` is a pair of samples and labels that it was not trained on. :func:`data_from` makes data of one
    capture, or of those of a family of models.
    """
    last = _classifier(estimator)
    weight, bias = _head(last)
    parts = [(X, y)] if heldout is None else [(X, y), heldout]
    features = [_features(estimator, last, rows) for rows, _ in parts]
    labels = [_indices(last, wanted) for _, wanted in parts]
    for rows, wanted in zip(features, labels):
        if len(rows) != len(wanted):
            raise DisinheritError(f"there are {len(wanted)} labels for {len(rows)} samples")
    every = np.concatenate(features)
    return Capture(
        head="head",
        features=every,
        logits=np.ascontiguousarray(every @ weight.T + bias, np.float32),
        labels=np.concatenate(labels),
        label_names=label_names(last),
        ids=None if ids is None else [str(sample) for sample in ids],
        heldout_ids=None if heldout_ids is None else [str(sample) for sample in heldout_ids],
        heldout=None if heldout is None else np.repeat([False, True], [len(part) for part in labels]),
    )


def forget(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    classes: Union[Labels, Iterable[Any]],
    heldout: Optional[Tuple[Any, Any]] = None,
    progress: bool = False,
    **options: Any,
) -> Forgotten:
    """Make a classifier forget classes, in place (FIUn on itself).

    ``X`` and ``y`` are its training data, ``classes`` values of ``y``. Options are those of
    :meth:`disinherit.Registry.unlearn`. Whatever else the estimator keeps that remembers its old weights (an
    optimizer's moments, coefficients of folds) is removed, and ``warnings`` names it.
    """
    last = _classifier(estimator)
    captured = capture(estimator, X, y, heldout=heldout)
    several = not isinstance(classes, str) and isinstance(classes, Iterable)
    wanted = known([str(label) for label in classes] if several else [str(classes)], captured.label_names)
    weight, bias = _head(last)
    registry, data = Registry.memory(), data_from(captured, "captured")
    registry.add(
        "classifier",
        _kept(weight, bias),
        labels=captured.label_names,
        head="head",
        trained_on="captured",
    )
    _, result = forget_alone(registry, "classifier", data, wanted, progress, **options)
    if not options.get("dry_run"):
        result.warnings.extend(load(registry, "classifier", estimator))
    return result


def tensors(estimator: Any) -> Dict[str, NDArray[Any]]:
    """A classifier's weights, for :meth:`disinherit.Registry.add` with ``head="head"``."""
    last = _classifier(estimator)
    weight, bias = _head(last)
    found: Dict[str, NDArray[Any]] = {}
    if isinstance(last, MLPClassifier):
        for place, (below, shift) in enumerate(zip(last.coefs_[:-1], last.intercepts_[:-1])):
            found[f"layers.{place}.weight"], found[f"layers.{place}.bias"] = below.T, shift
    return {**found, **_kept(weight, bias)}


def _kept(weight: NDArray[Any], bias: NDArray[Any]) -> Dict[str, NDArray[Any]]:
    """A head as a registry keeps it: in single precision, in which heads are edited."""
    return {"head.weight": weight.astype(np.float32), "head.bias": bias.astype(np.float32)}


def load(registry: Registry, model: str, estimator: Any) -> List[str]:
    """Put the head of a model of a registry into a classifier; warnings, where something else was removed from it.

    A coefficient that is the same in single precision stays as it is, to the last bit of double precision.
    """
    last = _classifier(estimator)
    if registry.show(model).manifest.labels != label_names(last):
        raise DisinheritError(f"`{model}` has other classes than this {type(last).__name__}")
    parts = registry.show(model).manifest.tensors
    if "head.weight" not in parts or "head.bias" not in parts:
        raise DisinheritError(f"`{model}` has no `head.weight` and `head.bias`: it was not added from a classifier of scikit-learn")
    values = [
        np.where(new == old.astype(np.float32), old, new.astype(old.dtype))
        for old, new in zip(_head(last), registry.head(model))
    ]
    return [
        f"`{name}` was removed from the {type(last).__name__}, since it remembers the weights of before"
        for name in _put(last, values[0], values[1])
    ]
