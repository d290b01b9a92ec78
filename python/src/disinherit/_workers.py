"""What executes the parts of plans and jobs, as the engine sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Protocol, Tuple

if TYPE_CHECKING:
    from ._disinherit import JobWatch

#: An attempt that ended: the shard (``3/40``), the number of the attempt, the machine, seconds, how it ended, with what,
#: and whether another attempt would end in the same way. A ``success`` ends with a value, ``failed`` with an exception,
#: ``worker_died`` and ``worker_unavailable`` with words.
EndedAttempt = Tuple[str, int, Optional[str], float, str, Any, bool]


class Workers(Protocol):
    """Those who execute parts."""

    def room(self) -> int:
        """How many parts may be given at a time."""

    def submit(self, shard: str, models: int, attempt: int) -> None:
        """Gives a part to a worker, and does not wait for it."""

    def wait(self) -> List[EndedAttempt]:
        """Waits until something has ended, or for a moment; each ended attempt is given once."""

    def cancel(self) -> None:
        """Stops what is at work."""


class JobParts(Protocol):
    """Those who execute the parts of jobs, for the worker that takes the jobs."""

    def edit(self, request: int, watch: JobWatch) -> None:
        """Edits the models of a request that the worker runs, as drafts; what is not edited, the worker edits."""

    def judge(self, request: int, models: List[str], watch: JobWatch) -> List[bytes]:
        """The verdicts on models, in their order: documents of ``judge_models``, one after the other."""
