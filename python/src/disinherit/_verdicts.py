"""Verdicts on models; public as :mod:`disinherit.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from ._record import Record


@dataclass(frozen=True)
class Accuracy(Record):
    """On a model's own training data, and on held-out data."""

    train: Optional[float]
    heldout: Optional[float]


@dataclass(frozen=True)
class Scores(Record):
    """How well a model knows what was to be forgotten, and the rest."""

    forget: Accuracy
    retain: Accuracy


@dataclass(frozen=True)
class Estimate(Record):
    """A quantity that was measured once or several times."""

    mean: float
    #: The standard deviation; 0 where there is one measurement only.
    deviation: float
    count: int


@dataclass(frozen=True)
class Interval(Record):
    """What models reach that do not know the forget data."""

    mean: float
    #: How far from the mean a model that has forgotten may be.
    half_width: float


@dataclass(frozen=True)
class Reference(Record):
    """The models that a verdict is compared with."""

    #: ``retrained`` or ``untouched_root``.
    kind: str
    models: List[str]
    probe: Optional[Interval]
    inner_probe: Optional[Interval]
    reset: Optional[Interval]
    area: Optional[Interval]
    fitted: Optional[Interval]


@dataclass(frozen=True)
class Inside(Record):
    """What was found inside a model."""

    #: Balanced accuracy of a linear probe on the penultimate layer.
    probe: Optional[Estimate]
    #: The same on an inner layer.
    inner_probe: Optional[Estimate]
    #: Steps of relearning from a neutral row.
    reset: Optional[Estimate]
    #: Membership by confidence: the area under the curve.
    area: Optional[Estimate]
    #: Membership by an attack that is fitted on features and logits.
    fitted: Optional[Estimate]
    #: ``None`` where no model is on record as never having known the forget data.
    reference: Optional[Reference]
    #: Why the judgement says no more, in words.
    findings: List[str]
    #: What nothing was measured of, in words: of a module, how fast layers below its head relearn.
    not_measured: List[str]


@dataclass(frozen=True)
class Weakest(Record):
    """The forgotten sample that stands out most."""

    id: str
    #: The share of unseen samples that the model is less sure of.
    share: float
    #: By how much surer of it the model is than when retrained without it, in nats; ``None`` where nothing was retrained.
    above_retrained: Optional[float]


@dataclass(frozen=True)
class SampleVerdict(Record):
    """Forgotten samples beside unseen ones of the same labels: of each pair the first is of the forgotten."""

    forgotten: int
    unseen: int
    accuracy: Tuple[float, float]
    #: The mean cross-entropy, in nats.
    loss: Tuple[float, float]
    #: Membership: the area under the curve that tells one from the other; 0.5 is chance.
    area: float
    #: Its 95 % interval.
    interval: Tuple[float, float]
    weakest: Weakest


@dataclass(frozen=True)
class Verdict(Record):
    """What a model still says of what was forgotten."""

    model: str
    scores: Scores
    #: The largest accuracy on forgotten held-out samples that passes.
    at_most: float
    #: ``None`` where there was nothing to measure.
    passed: Optional[bool]
    #: How far it is forgotten: ``outputs``, ``features`` or ``indistinguishable``; else ``recognised`` or
    #: ``not_measured``.
    judgement: str
    #: What was found inside the model, where it was looked at.
    inside: Optional[Inside] = None
    #: How forgotten samples stand against unseen ones, where single samples or a source are forgotten.
    samples: Optional[SampleVerdict] = None
