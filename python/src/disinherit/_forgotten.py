"""One model forgets, in a registry of its own: what :mod:`disinherit.torch` and :mod:`disinherit.sklearn` share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, List, Optional, Tuple

from ._arguments import Labels, listed
from ._data import Data
from ._disinherit import DisinheritError
from ._registry import Registry
from .results import InnerEdit, Outcome, Verdict


@dataclass
class Forgotten:
    """What ``forget`` did."""

    alpha: Optional[float]
    lambda_: Optional[float]
    changed: int
    warnings: List[str] = field(default_factory=list)
    verdict: Optional[Verdict] = None
    #: What was done below the head, or why nothing was; ``None`` where the outputs alone were to be edited.
    inner: Optional[InnerEdit] = None


def known(classes: Labels, labels: Iterable[str]) -> List[str]:
    """The classes as a list, where all of them are labels."""
    wanted, names = listed(classes), list(labels)
    for label in wanted:
        if label not in names:
            raise DisinheritError(f"unknown label `{label}`; the labels are {', '.join(names)}")
    return wanted


def forget_alone(
    registry: Registry, model: str, data: Data, classes: List[str], progress: bool, **options: Any
) -> Tuple[Outcome, Forgotten]:
    """Make the one model of a registry forget; judged, except in a dry run."""
    done = registry.unlearn(classes=classes, initial=model, data=data, progress=progress, **options)
    if not done.models:
        raise DisinheritError(f"nothing would be left of the {model}: all of its classes are to be forgotten")
    outcome = done.models[0]
    result = Forgotten(outcome.alpha, outcome.lambda_, outcome.changed, done.warnings, inner=outcome.inner)
    if not options.get("dry_run"):
        result.verdict = registry.verify(data, progress=False)[0]
    return outcome, result
