"""Erasure requests from their arrival to the purge, each step on record."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Iterable, List, Optional, Sequence, Union

from ._arguments import Bar, Filing, Labels, Listing, PathLike, Terms, progress_bars, request
from ._data import Data
from ._disinherit import Desk as _Desk
from ._disinherit import DisinheritError
from .certificates import Files, contents
from .results import Certificate, ErasureRequest, ErasureScope, Operation, Purged, Unlearned, Verdict

if TYPE_CHECKING:
    from ._registry import Registry

__all__ = ["Requests"]

#: A moment with its time zone, or a length of time.
When = Union[datetime, timedelta]


class Requests:
    """The erasure requests of a registry: :attr:`disinherit.Registry.requests`.

    A request is filed (:meth:`new`), planned, approved, run, verified, certified, purged and closed. Each step is an
    operation of the log by the registry's ``actor``; one that is not legal in the request's state raises
    :class:`disinherit.StepRefused` and changes nothing. Requests are known by their numbers.
    """

    def __init__(self, registry: Registry) -> None:
        self._inner = _Desk(registry._inner)

    def new(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
        requester: Optional[str] = None,
        basis: Optional[str] = None,
        received: Optional[datetime] = None,
        deadline: Optional[When] = None,
    ) -> ErasureRequest:
        """File a request: what must be forgotten, who asked, until when.

        ``requester`` is a pseudonym that is resolved elsewhere: the log keeps it for good. ``received`` is when it
        arrived, now when not given; ``deadline`` a moment or a length of time from then, one month when not given.
        """
        arrived = None if received is None else _milliseconds(received, "received")
        if isinstance(deadline, timedelta):
            moment = received or datetime.now().astimezone()
            arrived = _milliseconds(moment, "received")
            deadline = moment + deadline
        until = None if deadline is None else _milliseconds(deadline, "deadline")
        asked = request(classes, source, samples, initial)
        return self._inner.file(asked, Filing(requester, basis, arrived, until))

    def preview(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
        method: Optional[str] = None,
    ) -> ErasureScope:
        """Which models a request would touch and why, and what it cannot reach. Nothing is filed."""
        return self._inner.preview(request(classes, source, samples, initial), Terms(method))

    def list(
        self,
        *,
        states: Optional[Labels] = None,
        overdue: bool = False,
        due_within: Optional[timedelta] = None,
        newest: bool = False,
        limit: int = 50,
        after: Optional[int] = None,
    ) -> List[ErasureRequest]:
        """Requests, those that are due first at the beginning.

        ``states`` are those that count: the open ones when not given, all with ``[]``. ``overdue`` and
        ``due_within`` leave those whose deadline is over, or comes within this time. ``newest`` lists them by their
        numbers, the newest first. ``after`` is the last one of the page before.
        """
        if not 1 <= limit <= 1000:
            raise DisinheritError(f"`limit=` must be from 1 to 1000, not {limit}")
        within = timedelta() if overdue else due_within
        names = None if states is None else [states] if isinstance(states, str) else [str(state) for state in states]
        length = None if within is None else int(within.total_seconds() * 1000)
        return self._inner.list(Listing(names, length, newest, limit, after))

    def show(self, request: int) -> ErasureRequest:
        """A request as of its last step."""
        return self._inner.show(request)

    def history(self, request: int) -> List[Operation]:
        """The operations that concern a request, oldest first: its own steps, and what was done for it."""
        return self._inner.history(request)

    def scope(self, request: int) -> Optional[ErasureScope]:
        """Whom a request touches and why, as its plan put it on record; ``None`` before that."""
        return self._inner.scope(request)

    def verdicts(self, request: int) -> List[Verdict]:
        """The verdicts that are on record for a request; none where nothing was judged."""
        return self._inner.verdicts(request)

    def certificate(self, request: int) -> Optional[bytes]:
        """The certificate of a request, as :func:`disinherit.verify_certificate` reads it; ``None`` before that."""
        return self._inner.certificate(request)

    def bundle(self, request: int, path: PathLike, *, whole_chain: bool = False) -> List[str]:
        """Write what an auditor takes along: certificate, report, entries of the log, public key, digests, and how to check
        all of it offline (``README.md``). Returns the names of the files.

        ``path`` becomes an archive where it ends with ``.zip``, otherwise a folder; :class:`FileExistsError` is raised
        where something is there. With ``whole_chain`` the log's entries of others between those of the request are in it,
        which may name other people.
        """
        return self._inner.bundle(request, os.fspath(path), whole_chain)

    def comment(self, request: int, text: str) -> ErasureRequest:
        """Say something about a request. The log keeps it for good: no names."""
        return self._inner.comment(request, text)

    def plan(
        self,
        request: int,
        *,
        method: Optional[str] = None,
        target_loss: float = 0.01,
        accept_loss: Optional[float] = None,
    ) -> ErasureRequest:
        """Put on record what a run will do: whom it touches and why, as they are now, and by which method.

        To plan again takes a new approval. ``method`` is ``fiun`` for classes and ``matching`` for samples and sources
        when not given; ``target_loss`` and ``accept_loss`` are as in :meth:`disinherit.Registry.unlearn`.
        """
        return self._inner.plan(request, Terms(method, target_loss, accept_loss))

    def approve(self, request: int) -> ErasureRequest:
        """Let a request be run as it was planned."""
        return self._inner.approve(request)

    def reject(self, request: int, *, reason: str) -> ErasureRequest:
        """Turn a request down. That is its end."""
        return self._inner.reject(request, reason)

    def extend(self, request: int, *, reason: str, deadline: Optional[When] = None) -> ErasureRequest:
        """Give a request a later deadline: a moment, or a length of time from the deadline that it has.

        When not given, three months after its arrival, the latest that the GDPR knows (Art. 12(3)).
        """
        until = None
        if isinstance(deadline, timedelta):
            until = self.show(request).deadline + int(deadline.total_seconds() * 1000)
        elif deadline is not None:
            until = _milliseconds(deadline, "deadline")
        return self._inner.extend(request, reason, until)

    def run(
        self, request: int, data: Optional[Data] = None, *, take_over: bool = False, progress: bool = True
    ) -> Unlearned:
        """Edit the models of a request as planned, and publish the new versions.

        A run that was stopped is taken up. While one goes on, no other of the same request begins; ``take_over`` is for
        one that was killed, which then publishes nothing.
        """
        inner = None if data is None else data._inner
        return self._inner.run(request, inner, take_over, progress_bars(progress))

    def verify(
        self,
        request: int,
        data: Data,
        *,
        at_most: float = 0.01,
        deep: bool = False,
        require: Optional[str] = None,
        progress: bool = True,
    ) -> List[Verdict]:
        """Judge the new versions of a request, as :meth:`disinherit.Registry.verify` does.

        ``require`` is what every model must reach: ``outputs``, ``features`` or ``indistinguishable``; the last two look
        inside. Where one falls short the request has failed, and its state says so: it can be planned anew.
        """
        return self._inner.verify(request, data._inner, Bar(at_most, deep, require), progress_bars(progress))

    def leave_unjudged(self, request: int, *, reason: str) -> ErasureRequest:
        """Go on without a judgement, where the data is gone already, for instance. Record and certificate say so."""
        return self._inner.leave_unjudged(request, reason)

    def certify(
        self,
        request: int,
        key: Union[PathLike, bytes],
        path: Optional[PathLike] = None,
        *,
        in_toto: bool = False,
        force: bool = False,
    ) -> Certificate:
        """Sign the certificate of a request, with the verdicts on record, and keep it in the registry.

        ``key`` is a path, or its contents as bytes. With ``path`` the certificate is written there too, as
        :meth:`disinherit.Registry.certify` does.
        """
        if in_toto and path is None:
            raise DisinheritError("`in_toto=` writes files beside the certificate: say where, with `path`")
        files = None if path is None else Files(path, in_toto, force)
        texts, certificate = self._inner.certify(request, contents(key), in_toto)
        if files is not None:
            files.write(texts)
        return certificate

    def purge(self, request: int, *, reason: Optional[str] = None, dry_run: bool = False) -> Optional[Purged]:
        """Delete for good what the versions remember that a request replaced or retired.

        ``None`` where all of them were purged already. With ``dry_run`` nothing happens.
        """
        return self._inner.purge(request, reason, dry_run)

    def close(self, request: int) -> ErasureRequest:
        """End a request that is purged: the person was told, and nothing is left to do."""
        return self._inner.close(request)

    @property
    def four_eyes(self) -> bool:
        """Whether a request needs the approval of somebody else than who filed it. It can be set."""
        return self._inner.four_eyes()

    @four_eyes.setter
    def four_eyes(self, asked: bool) -> None:
        self._inner.set_four_eyes(asked)


def _milliseconds(moment: datetime, argument: str) -> int:
    if moment.tzinfo is None:
        raise DisinheritError(f"`{argument}=` has no time zone: for instance `datetime.now(timezone.utc)`")
    return int(moment.timestamp() * 1000)
