"""What a registry gives back: frozen dataclasses, comparable, with :meth:`Record.to_dict`.

Times are in milliseconds since 1970-01-01 UTC, digests hexadecimal BLAKE3, accuracies between 0 and 1
(``None`` where there is nothing to measure).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ._certificates import Certificate, CertificateCheck, CertifiedModel, LogPosition
from ._edits import (
    AlphaChoice,
    InnerEdit,
    InnerTrial,
    LogitSuppression,
    LossBound,
    MatchedSamples,
    MeasuredLoss,
    ModelLoss,
    RefinedInner,
    RefinedStage,
    RetiredModel,
    TensorEdit,
    Trial,
)
from ._erasures import (
    ErasurePlan,
    ErasureRequest,
    ErasureScope,
    ErasureSubject,
    ErasureVerdict,
    ScopedModel,
    Stamp,
    Unreached,
)
from ._graphs import Edge, Graph, Model, Relation, Scope, Training, Vertex
from ._record import Record
from ._requests import Plan, Request, Shard, ShardDone, Stage, Task
from ._verdicts import (
    Accuracy,
    Estimate,
    Inside,
    Interval,
    Reference,
    SampleVerdict,
    Scores,
    Verdict,
    Weakest,
)

__all__ = [
    "Accuracy",
    "AlphaChoice",
    "Certificate",
    "CertificateCheck",
    "CertifiedModel",
    "Changes",
    "Damage",
    "Edge",
    "ErasurePlan",
    "ErasureRequest",
    "ErasureScope",
    "ErasureSubject",
    "ErasureVerdict",
    "Estimate",
    "Garbage",
    "Graph",
    "Health",
    "ImportNote",
    "Imported",
    "ImportedModel",
    "InnerEdit",
    "InnerTrial",
    "Inside",
    "Interval",
    "LogPosition",
    "LogitSuppression",
    "LossBound",
    "Manifest",
    "MeasuredLoss",
    "MatchedSamples",
    "Model",
    "ModelDetails",
    "ModelLoss",
    "RefinedInner",
    "RefinedStage",
    "Operation",
    "Outcome",
    "Packed",
    "ParentEvidence",
    "Plan",
    "Purged",
    "Record",
    "Reference",
    "Relation",
    "Request",
    "RetiredModel",
    "SampleVerdict",
    "Scope",
    "ScopedModel",
    "Scores",
    "Shard",
    "ShardDone",
    "Stage",
    "Stamp",
    "Task",
    "TensorEdit",
    "TensorInfo",
    "Training",
    "Trial",
    "Undone",
    "Unlearned",
    "Unreached",
    "Verdict",
    "Vertex",
    "Weakest",
]


@dataclass(frozen=True)
class ParentEvidence(Record):
    """Where a model's parents are known from."""

    #: ``model_card``, ``file_metadata``, ``adapter``, ``merge_config`` or ``weights``.
    source: str
    #: Of weights: how sure the proposal is, 0 to 1.
    confidence: Optional[float] = None
    #: Of weights: the share of parameters that are the same, 0 to 1.
    shared: Optional[float] = None
    #: Of weights: the distance of the others, in units of their norm.
    distance: Optional[float] = None


@dataclass(frozen=True)
class ImportedModel(Record):
    """One model that an import adds."""

    name: str
    path: str
    #: The format of its files, in words.
    format: str
    #: The family of its network; ``head`` where only its head is known.
    network: str
    head: str
    labels: List[str]
    #: By name or id, each with the relation.
    parents: List[Tuple[str, Relation]]
    evidence: Optional[ParentEvidence]


@dataclass(frozen=True)
class ImportNote(Record):
    """What should be known of an import: ``left_out``, ``reader``, ``unknown_base`` or ``doubtful``, in words."""

    kind: str
    text: str


@dataclass(frozen=True)
class Imported(Record):
    """What an import found."""

    #: The versions that were added; none in a dry run.
    added: List[str]
    #: The models, parents before children.
    models: List[ImportedModel]
    notes: List[ImportNote]


@dataclass(frozen=True)
class TensorInfo(Record):
    """A tensor of a model: type as in safetensors, shape, digest of its bytes."""

    dtype: str
    shape: List[int]
    digest: str


@dataclass(frozen=True)
class Manifest(Record):
    """What a version consists of."""

    #: The name of the head, without ``.weight`` and ``.bias``.
    head: str
    #: The label names of the head's rows.
    labels: List[str]
    tensors: Dict[str, TensorInfo]
    #: The network, as it is stored.
    architecture: Optional[Dict[str, Any]]
    #: How inputs are prepared, as it is stored.
    preprocessing: Optional[Dict[str, Any]]
    #: The format of the file that the model came in, as it is stored.
    format: Optional[Any]
    #: Digests of whatever else that file held, by name.
    documents: Dict[str, str]


@dataclass(frozen=True)
class ModelDetails(Record):
    """One version, what it consists of, and the estimators of its FIM cards."""

    model: Model
    manifest: Manifest
    cards: List[str]


@dataclass(frozen=True)
class Outcome(Record):
    """What happened to one model."""

    before: str
    after: str
    #: ``initial`` or ``inherited``.
    role: str
    #: The initial models whose FIMs were merged.
    initial: List[str]
    digest_before: str
    #: ``None`` in a dry run.
    digest_after: Optional[str]
    #: ``None`` for methods that do not dampen.
    alpha: Optional[float]
    lambda_: Optional[float]
    choice: Optional[AlphaChoice]
    tensors: Dict[str, TensorEdit]
    #: Labels that no initial model has; their rows stayed as they were.
    unmatched: List[str]
    #: The version whose FIM card was used instead of one of its own.
    fallback_card: Optional[str]
    #: What was done below the head; ``None`` where that was not asked for.
    inner: Optional[InnerEdit]
    #: What that cost in accuracy on the retained data; ``None`` where it was not measured.
    loss: Optional[MeasuredLoss]
    #: How single samples were brought to the certainty of unseen ones; ``None`` for other methods.
    matched: Optional[MatchedSamples]
    seconds: float

    @property
    def changed(self) -> int:
        """Parameters that changed, in all tensors."""
        return sum(tensor.changed for tensor in self.tensors.values())


@dataclass(frozen=True)
class Unlearned(Record):
    """A finished request."""

    request: str
    method: str
    #: The number in the log; ``None`` in a dry run.
    operation: Optional[int]
    models: List[Outcome]
    #: Models that were trained on nothing but the forget data: superseded, and nothing replaces them.
    retired: List[RetiredModel]
    loss_bound: LossBound
    seconds: float
    warnings: List[str]


@dataclass(frozen=True)
class Changes(Record):
    """What an operation changed in the catalog."""

    #: New versions with their digests.
    models: List[Tuple[str, str]]
    superseded: List[str]
    #: New FIM cards: the digest of the model, the estimator.
    cards: List[Tuple[str, str]]
    #: Versions that became current again.
    restored: List[str]
    #: Versions that were taken out.
    removed: List[str]
    #: Versions whose weights were deleted.
    purged: List[str]


@dataclass(frozen=True)
class Operation(Record):
    """An entry of the log."""

    id: int
    time: int
    actor: str
    command: str
    #: What was done, as it is stored.
    detail: Any
    changes: Changes
    #: The hash of the entry before; empty for the first.
    previous: str
    hash: str


@dataclass(frozen=True)
class Undone(Record):
    """An operation that was taken back."""

    operation: int
    undone: int
    removed: List[str]
    restored: List[str]


@dataclass(frozen=True)
class Purged(Record):
    """What was deleted, or in a dry run would be."""

    operation: Optional[int]
    #: The versions with their digests, which stay on record.
    models: List[Tuple[str, str]]
    cards: int
    objects: int
    bytes: int
    #: Objects of these versions that others share, and that therefore stay.
    shared: int
    #: Entries of the feature cache.
    features: int


@dataclass(frozen=True)
class Garbage(Record):
    """What was cleared away, or in a dry run would be."""

    objects: int
    #: Of the objects and of the copies.
    bytes: int
    #: Copies of objects that lie in packs as well.
    copies: int
    #: Files of writes that were cut short.
    files: int
    #: Finished tasks of requests that were never published.
    drafts: int
    #: Objects on shared storage that another process may be about to publish.
    young: int


@dataclass(frozen=True)
class Packed(Record):
    """What was brought together into packs."""

    #: Objects that lay alone.
    objects: int
    #: Small packs that are in others now.
    merged: int
    #: Packs that were written.
    packs: int


@dataclass(frozen=True)
class Damage(Record):
    """Something that is not what it was."""

    what: str
    models: List[str]
    #: How it was repaired, if it was.
    repaired: Optional[str]


@dataclass(frozen=True)
class Health(Record):
    """What a check found."""

    models: int
    cards: int
    operations: int
    objects: int
    bytes: int
    #: Objects that nothing speaks of.
    garbage: int
    damages: List[Damage]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(damage.repaired is not None for damage in self.damages)
