"""What edits did and what they cost; public as :mod:`disinherit.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from ._record import Record


@dataclass(frozen=True)
class TensorEdit(Record):
    """What was done to a tensor."""

    parameters: int
    #: Parameters whose forget FIM exceeds alpha times their own.
    selected: int
    changed: int
    #: The sum of the factors of the selected ones.
    factor_sum: float


@dataclass(frozen=True)
class Trial(Record):
    """One tried pair of alpha and lambda."""

    alpha: float
    lambda_: float
    #: The accuracy on forget samples.
    forget: float
    #: The accuracy on retained samples.
    retain: float
    #: The probability that a forget sample's own label still gets, at the 95th percentile.
    forget_probability: float
    selected: int


@dataclass(frozen=True)
class LogitSuppression(Record):
    """By how much the logits of forgotten labels were suppressed besides dampening."""

    #: Rows of the head.
    rows: List[int]
    #: Subtracted from a bias; of a weight, the share of the way to the mean of the retained rows.
    by: float
    #: The accuracy on forget samples with dampening alone.
    forget_before: float
    #: ``bias`` or ``weight``.
    part: str


@dataclass(frozen=True)
class AlphaChoice(Record):
    """How alpha and lambda were chosen on data."""

    alpha: float
    lambda_: float
    #: Whether the target is met.
    reached: bool
    suppression: Optional[LogitSuppression]
    #: Accuracies before any edit.
    forget_before: float
    retain_before: float
    curve: List[Trial]


@dataclass(frozen=True)
class InnerTrial(Record):
    """One strength that an edit below the head was tried with, on samples that it was not computed from."""

    #: The larger, the weaker.
    ridge: float
    #: Of the outputs on forget samples from the reference's, in nats.
    divergence: float
    #: Accuracy on forget and retained samples, 0 to 1.
    forget: float
    retain: float


@dataclass(frozen=True)
class RefinedInner(Record):
    """What training the last stage did to what enters the penultimate layer."""

    #: Of Fisher's criterion there.
    weight: float
    #: How far what enters the layer separates the forgotten classes: before, and now.
    separation: List[float]


@dataclass(frozen=True)
class RefinedStage(Record):
    """A network's last stage, trained for a few steps."""

    #: Of Fisher's criterion beside the distance to what a model that never knew the forget data would write.
    weight: float
    steps: int
    #: How far the features separate the forgotten classes (Fisher's criterion), on samples that the edit was not
    #: computed from: before, after the edit of one layer, and now.
    separation: List[float]
    #: The same one layer further down; ``None`` where the stage has no weights there.
    inner: Optional[RefinedInner]
    #: The names of those that were trained.
    tensors: List[str]


@dataclass(frozen=True)
class InnerEdit(Record):
    """What was done below the head."""

    #: ``own`` forget samples of the model, those of the ``initial`` models that reach it, or ``none``.
    basis: str
    #: The weight that was edited; ``None`` where only the head was.
    layer: Optional[str]
    #: The model that never knew the forget data and whose answers were taken over.
    reference: Optional[str]
    ridge: Optional[float]
    trials: List[InnerTrial]
    #: The steps taken over the last stage, where there were some.
    refined: Optional[RefinedStage]
    #: Why the edit stayed with one layer, where it leaves the forgotten classes nearly as telling as before and
    #: steps over the last stage were tried.
    one_layer_only: Optional[str]
    #: Why only the head was edited.
    outputs_only: Optional[str]


@dataclass(frozen=True)
class LossBound(Record):
    """What a request may cost each model in accuracy on the retained data, 0 to 1."""

    #: What every model is held to.
    target: float
    #: What was accepted beyond that.
    accepted: Optional[float]


@dataclass(frozen=True)
class MeasuredLoss(Record):
    """How many retained samples a model names rightly, before and after an edit."""

    #: Training samples ``kept_apart``, those that the choice saw (``training``), or ``held_out`` ones.
    on: str
    samples: int
    #: Named rightly before.
    right: int
    #: Of these, not any more.
    lost: int
    #: Named rightly only afterwards.
    gained: int

    @property
    def loss(self) -> float:
        """The accuracy that was lost, below 0 where some was gained."""
        return (self.lost - self.gained) / max(self.samples, 1)


@dataclass(frozen=True)
class ModelLoss(Record):
    """What an edit would cost one model."""

    model: str
    loss: MeasuredLoss


@dataclass(frozen=True)
class RetiredModel(Record):
    """A version that was taken out of use, and that nothing replaces."""

    model: str
    digest: str
    role: str


@dataclass(frozen=True)
class MatchedSamples(Record):
    """How the samples of one model were brought to the certainty of unseen ones."""

    #: Samples that were to be forgotten, retained ones that were held, and ones that were never seen.
    forgotten: int
    retained: int
    unseen: int
    #: Steps of training.
    steps: int
    #: The share of the initial models' change that was taken over first; ``None`` in an initial model.
    carried: Optional[float]
    #: Whether samples were also looked at shifted.
    views: bool
    #: Whether the head was all that could be changed.
    head_only: bool
    #: Membership before and after: the area under the curve that tells forgotten from unseen samples; 0.5 is chance.
    area: Tuple[float, float]
    #: The area that was aimed at.
    aim: float
