"""Classifiers of scikit-learn forget a digit.

Each is fitted on ten digits, forgets one of them in place, and is compared with the same classifier fitted again on
the other nine.

    pip install disinherit[sklearn]
    python classifiers.py --forget 3
"""

import argparse
import time
import warnings

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from disinherit.sklearn import forget


def classifiers():
    return {
        "LogisticRegression": LogisticRegression(max_iter=500),
        "LinearSVC": LinearSVC(random_state=0),
        "SGDClassifier": make_pipeline(StandardScaler(), SGDClassifier(random_state=0)),
        "MLPClassifier": MLPClassifier((64,), max_iter=150, random_state=0),
    }


def accuracy(estimator, X, y, digit):
    """On one digit, and on the others."""
    right = estimator.predict(X) == y
    return right[y == digit].mean(), right[y != digit].mean()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forget", type=int, default=3, choices=range(10))
    digit = parser.parse_args(arguments).forget
    warnings.filterwarnings("ignore", message=".*converge.*")
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.4, random_state=0, stratify=y)
    print(f"{'':20} {'digit before':>12} {'after':>6} {'others before':>14} {'after':>6} {'refitted':>9} {'seconds':>8} {'refit':>6}")
    results = {}
    for name, estimator in classifiers().items():
        estimator.fit(X, y)
        before = accuracy(estimator, X_test, y_test, digit)
        begun = time.perf_counter()
        done = forget(estimator, X, y, classes=digit, heldout=(X_test, y_test))
        seconds = time.perf_counter() - begun
        after = accuracy(estimator, X_test, y_test, digit)
        begun = time.perf_counter()
        again = clone(estimator).fit(X[y != digit], y[y != digit])
        refit = time.perf_counter() - begun
        anew = accuracy(again, X_test, y_test, digit)[1]
        print(f"{name:20} {before[0]:12.1%} {after[0]:6.1%} {before[1]:14.1%} {after[1]:6.1%} {anew:9.1%} {seconds:8.2f} {refit:6.2f}")
        results[name] = (before, after, done)
    return results


if __name__ == "__main__":
    main()
