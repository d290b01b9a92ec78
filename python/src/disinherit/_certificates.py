"""Certificates as they are read; public as :mod:`disinherit.results`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from ._edits import LossBound, MeasuredLoss, RetiredModel
from ._record import Record
from ._requests import Request
from ._verdicts import Verdict


@dataclass(frozen=True)
class CertifiedModel(Record):
    """One version that a request touched."""

    before: str
    after: str
    digest_before: str
    digest_after: str
    #: ``initial`` or ``inherited``.
    role: str
    #: ``alpha``, ``lambda`` and ``lowering`` (logit suppression), where the method has them.
    parameters: Dict[str, Any]
    #: Parameters that changed.
    changed: int
    #: What that cost in accuracy on the retained data; ``None`` where it was not measured.
    loss: Optional[MeasuredLoss]


@dataclass(frozen=True)
class LogPosition(Record):
    """Where the operation log has what is certified."""

    operation: int
    hash: str
    #: The last operation when the certificate was issued.
    last: int
    last_hash: str


@dataclass(frozen=True)
class Certificate(Record):
    """What was asked, what was done, how far it is forgotten, and where the log has it."""

    request: str
    asked: Request
    actor: str
    time: int
    method: str
    models: List[CertifiedModel]
    #: Versions that were taken out of use, and that nothing replaces.
    retired: List[RetiredModel]
    loss_bound: Optional[LossBound]
    warnings: List[str]
    #: None where the models were not judged.
    verdicts: List[Verdict]
    log: LogPosition
    #: What issued it, and when.
    tool: str
    issued: int
    #: The id of the key that signed it.
    key: str

    def verdict(self, model: str) -> Optional[Verdict]:
        """What it says of a new version, where that was judged."""
        return next((verdict for verdict in self.verdicts if verdict.model == model), None)


@dataclass(frozen=True)
class CertificateCheck(Record):
    """A certificate that was signed with the given key and not altered since."""

    certificate: Certificate
    #: What the registry does not have as certified; ``None`` where it was compared with none.
    problems: Optional[List[str]] = field(default=None)

    @property
    def is_sound(self) -> bool:
        """Whether the registry has it all as certified, as far as it was asked."""
        return not self.problems
