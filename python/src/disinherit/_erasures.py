"""Erasure requests as records; public as :mod:`disinherit.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

from ._edits import LossBound
from ._record import Record


@dataclass(frozen=True)
class Stamp(Record):
    """Who did something, when, and by which operation of the log."""

    by: str
    time: int
    operation: int


@dataclass(frozen=True)
class ErasureSubject(Record):
    """What an erasure request asks to forget: one of classes, a source and samples."""

    classes: Optional[List[str]]
    source: Optional[str]
    #: How many samples; their list is an object of the registry.
    samples: Optional[int]


@dataclass(frozen=True)
class ErasurePlan(Record):
    """What a run will do: nothing else, or it is refused. :meth:`disinherit.Requests.scope` has the models."""

    #: How many models were trained on the forget data themselves, and how many inherited from those.
    initial: int
    inherited: int
    #: How many of both are taken out of use, since nothing of their own would be left.
    retired: int
    method: str
    loss_bound: LossBound


@dataclass(frozen=True)
class ErasureVerdict(Record):
    """What the evaluator said of the new models; :meth:`disinherit.Requests.verdicts` has that of each."""

    #: Whether it is enough to go on.
    passed: bool
    judged: int
    #: How many models still recognise what they should have forgotten.
    recognised: int
    #: The least that was reached, and what was asked for, as in :attr:`Verdict.judgement`.
    judgement: Optional[str]
    required: Optional[str]
    #: Why nothing was judged, where nothing was.
    not_judged: Optional[str]


@dataclass(frozen=True)
class ErasureRequest(Record):
    """An erasure request, as of its last step."""

    id: int
    #: ``received``, ``planned``, ``approved``, ``running``, ``verified``, ``certified``, ``purged``, ``closed``,
    #: ``rejected``, ``failed`` or ``cancelled``.
    state: str
    asked: ErasureSubject
    #: The initial models that were named; without any, provenance tells.
    initial: List[str]
    #: Who asked, under a pseudonym.
    requester: Optional[str]
    #: The legal basis.
    basis: Optional[str]
    received: int
    deadline: int
    #: Why the deadline is another one than at first.
    extended: Optional[str]
    filed: Stamp
    plan: Optional[ErasurePlan]
    approved: Optional[Stamp]
    #: Who began the last run.
    run: Optional[Stamp]
    #: The operations that published new models for it, without those that were undone.
    published: List[int]
    verdict: Optional[ErasureVerdict]
    #: The digest of its certificate: :meth:`disinherit.Requests.certificate`.
    certificate: Optional[str]
    #: Why it was rejected, or has failed, or who cancelled its run.
    reason: Optional[str]
    last: Stamp


@dataclass(frozen=True)
class ScopedModel(Record):
    """A model that an erasure request touches."""

    model: str
    digest: str
    #: ``initial`` or ``inherited``.
    role: str
    #: ``trained``, ``samples_unknown`` (trained on data whose samples are not on record), ``named`` or
    #: ``inherited``.
    why: str
    #: The data that it was trained on.
    on: Optional[str]
    #: The parent that it inherited from, and how.
    parent: Optional[str]
    relation: Optional[str]
    #: Whether it is taken out of use without a successor.
    retired: bool


@dataclass(frozen=True)
class Unreached(Record):
    """What an erasure request does not reach: ``copies``, ``backups`` or models with ``no_record`` of their training."""

    what: str
    count: Optional[int]
    #: The first of them.
    models: List[str]


@dataclass(frozen=True)
class ErasureScope(Record):
    """Whom an erasure request touches and why, and what it cannot reach."""

    asked: ErasureSubject
    initial: List[str]
    method: str
    models: List[ScopedModel]
    unreached: List[Unreached]
