"""The registry."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ._arguments import (
    Checkpoint,
    Labels,
    Options,
    PathLike,
    TreeOptions,
    listed,
    patterns,
    progress_bars,
    request,
    trainings,
)
from ._data import Data
from ._desk import Requests
from ._disinherit import Registry as _Registry
from ._tensors import floats, given
from .certificates import Files, contents
from .results import (
    Certificate,
    Garbage,
    Graph,
    Health,
    Imported,
    Model,
    ModelDetails,
    Operation,
    Packed,
    Plan,
    Purged,
    Relation,
    ShardDone,
    Training,
    Undone,
    Unlearned,
    Verdict,
)
from .umig import Umig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _somebody() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return "unknown"


class Registry:
    """Models, which of them inherited from which, and what each was trained on.

    ``place`` is a folder with a registry (or a URL, such as ``s3://bucket/path``).
    """

    def __init__(self, place: PathLike = ".", *, actor: Optional[str] = None) -> None:
        self._inner = _Registry.open(os.fspath(place), actor or _somebody())

    @classmethod
    def _from_inner(cls, inner: _Registry) -> Registry:
        registry = cls.__new__(cls)
        registry._inner = inner
        return registry

    @classmethod
    def create(
        cls,
        place: PathLike = ".",
        *,
        catalog: Optional[str] = None,
        hash_ids: bool = False,
        actor: Optional[str] = None,
    ) -> Registry:
        """Make an empty registry; ``catalog`` is a PostgreSQL URL where it is not to be a file.

        With ``hash_ids`` it keeps hashes of the ids of samples instead of the ids, under a key in the catalog.
        """
        return cls._from_inner(
            _Registry.create(os.fspath(place), catalog, hash_ids, actor or _somebody())
        )

    @classmethod
    def memory(cls) -> Registry:
        """A registry that is gone with this object."""
        return cls._from_inner(_Registry.memory(_somebody()))

    def add(
        self,
        name: str,
        source: Any,
        *,
        labels: Optional[Sequence[str]] = None,
        head: Optional[str] = None,
        architecture: Optional[str] = None,
        input: Optional[Tuple[int, int, int]] = None,
        parents: Union[str, Sequence[str], Mapping[str, Union[str, Relation]]] = (),
        trained_on: Union[None, str, Training, Sequence[Training]] = None,
        trained_labels: Optional[Sequence[str]] = None,
        samples: Optional[Iterable[str]] = None,
        provider: Optional[str] = None,
        untied: bool = False,
    ) -> str:
        """Add a model and return its id, ``name@version``.

        ``source`` is a path (safetensors, ``.pt``, ONNX, a Hugging Face folder), a ``torch.nn.Module``, or a
        mapping of names to tensors or arrays. ``parents`` names those it came from, or maps each to how: a
        :class:`~disinherit.results.Relation`, or its words (``fine_tune``, ``federated_average=0.5``,
        ``transfer``, ...). ``trained_on`` names the data that it was trained on itself, with ``samples`` for
        their ids and ``provider`` for who supplied it; or it is a :class:`~disinherit.results.Training`, or
        several.
        """
        own = trainings(trained_on, trained_labels, samples, provider)
        new = Checkpoint(name, source, labels, head, architecture, input, parents, own, untied)._described()
        if isinstance(source, (str, os.PathLike)):
            return self._inner.add_file(os.fspath(source), new)
        return self._inner.add_tensors(given(source), new)

    def add_all(self, models: Iterable[Checkpoint]) -> List[str]:
        """Add several models in one operation, or none of them, and return their ids.

        Parents come before their children, and may be among the models. Small tensors are stored together in a few files.
        """
        return self._inner.add_all([(given(model.source), model._described()) for model in models])

    def import_tree(
        self,
        *paths: PathLike,
        labels: Optional[Sequence[str]] = None,
        head: Optional[str] = None,
        architecture: Optional[str] = None,
        input: Optional[Tuple[int, int, int]] = None,
        trained_on: Union[None, str, Training, Sequence[Training]] = None,
        infer_parents: Union[bool, float] = False,
        untied: bool = False,
        dry_run: bool = False,
        progress: bool = True,
    ) -> Imported:
        """Add all models at and below some paths in one operation, or none of them.

        Files, model folders, or folders with any number of both below them. Parents are those that model cards
        and adapters name; with ``infer_parents`` those that the weights suggest too, of at least this confidence
        (``True``: 0.3). The other arguments hold for all models. With ``dry_run`` nothing is added; what would be
        is in :attr:`~disinherit.results.Imported.models`, and what to look at in ``notes``.
        """
        least = {True: 0.3, False: None}[infer_parents] if isinstance(infer_parents, bool) else infer_parents
        options = TreeOptions(
            labels=None if labels is None else [str(label) for label in labels],
            head=head,
            architecture=architecture,
            input=input,
            trained_on=trainings(trained_on),
            infer_parents=least,
            untied=untied,
            dry_run=dry_run,
        )
        return self._inner.import_tree([os.fspath(path) for path in paths], options, progress_bars(progress))

    def models(self) -> List[Model]:
        """All versions."""
        return self._inner.models()

    def graph(self) -> Graph:
        """The inheritance graph."""
        return self._inner.graph()

    def umig(self) -> Umig:
        """The inheritance graph by itself, which needs no registry any more: see :mod:`disinherit.umig`."""
        return Umig._from_inner(self._inner.umig())

    def show(self, model: str) -> ModelDetails:
        """One version: provenance, manifest, FIM cards."""
        return self._inner.show(model)

    def log(self) -> List[Operation]:
        """What was done, oldest first."""
        return self._inner.log()

    def undo(self, operation: int) -> Undone:
        """Take an operation back."""
        return self._inner.undo(operation)

    def purge(self, models: Labels, *, reason: str, dry_run: bool = False) -> Purged:
        """Delete the weights and FIM cards of superseded versions for good; the record stays."""
        return self._inner.purge(listed(models), reason, dry_run)

    def collect_garbage(self, *, drafts: bool = False, dry_run: bool = False) -> Garbage:
        """Remove objects that nothing speaks of; with ``drafts`` what stopped requests have kept, too."""
        return self._inner.collect_garbage(dry_run, drafts)

    def pack(self) -> Packed:
        """Bring small objects together into packs: requests over many models read and write fewer files."""
        return self._inner.pack()

    def check(self, *, repair: bool = False, source: Optional[Registry] = None) -> Health:
        """Read everything, and say what is not what it was.

        With ``repair``, objects are fetched from ``source``, another registry, where it has them.
        """
        return self._inner.check(repair, None if source is None else source._inner)

    def fisher(
        self,
        models: Labels,
        data: Data,
        *,
        layers: Labels = "head",
        estimator: Optional[str] = None,
        activations: bool = True,
        again: bool = False,
        shard: Optional[str] = None,
        progress: bool = True,
    ) -> int:
        """Compute and keep FIM cards, so that classes can be forgotten later without data.

        ``layers`` is ``head``, ``all`` or patterns of tensor names; of inner layers a card keeps the FIM of all
        classes together. With ``activations`` cards of networks that run in the engine also keep activation
        statistics, so that classes can be forgotten to the features without data. Returns how many were made; models
        that have one are passed over, unless ``again``. With ``shard="3/40"`` only the third of forty equal parts of
        the models gets cards, for processes that share the work.
        """
        options = Options(layers=patterns(layers), estimator=estimator, activations=activations, shard=shard)
        return self._inner.fisher(listed(models), data._inner, options, again, progress_bars(progress))

    def card(self, model: str) -> Optional[bytes]:
        """The FIM card of a model as a file has it, without any sample; ``None`` where it has none."""
        return self._inner.card(model)

    def import_card(
        self, card: Union[PathLike, bytes], *, model: Optional[str] = None, source: Optional[str] = None
    ) -> str:
        """Add a card that was computed elsewhere (a path, or its bytes): of ``model``, or of the one that it names.

        With ``source`` it is a card of those samples alone that the source supplied, kept beside that of all data.
        """
        return self._inner.import_card(contents(card), model, source)

    @property
    def requests(self) -> Requests:
        """Erasure requests as records, from their arrival to the purge: see :class:`disinherit.Requests`."""
        return Requests(self)

    def plan(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
        data: Optional[Data] = None,
        layers: Optional[Labels] = None,
        estimator: Optional[str] = None,
        depth: str = "auto",
        last_stage: bool = True,
        method: Optional[str] = None,
        shards: int = 0,
    ) -> Plan:
        """Which models a request would touch, the work that it means, and what that work reads.

        No sample is read: ``data`` says whether modules of yours are run, whose features are edited then. With
        ``shards`` the plan also says how the work falls to so many processes (:meth:`unlearn_shard`).
        """
        options = Options(
            layers=patterns(layers), estimator=estimator, depth=depth, last_stage=last_stage, method=method
        )
        asked = request(classes, source, samples, initial)
        return self._inner.plan(asked, None if data is None else data._inner, options, shards)

    def unlearn(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
        data: Optional[Data] = None,
        progress: bool = True,
        layers: Optional[Labels] = None,
        alpha: Optional[float] = None,
        lambda_: Optional[float] = None,
        rule: bool = False,
        raw: bool = False,
        merge_scale: Optional[float] = None,
        target_forget: Optional[float] = None,
        target_loss: Optional[float] = None,
        accept_loss: Optional[float] = None,
        estimator: Optional[str] = None,
        jobs: int = 0,
        dry_run: bool = False,
        dampen_only: bool = False,
        depth: str = "auto",
        last_stage: bool = True,
        method: Optional[str] = None,
    ) -> Unlearned:
        """Forget classes, a source or samples, in every model that is concerned.

        ``initial`` names the models that the forget data came in through; without it provenance tells.
        With FIM cards, classes need no ``data``.

        ``layers`` are those that are edited (``head``, ``all``, patterns). ``alpha`` and ``lambda_`` are chosen
        on the data when not given; ``rule`` takes alpha by the rule that needs none, and ``raw`` compares FIMs
        without bringing them to a common scale. ``target_forget`` and ``target_loss`` say what the choice aims
        at, ``merge_scale`` divides merged FIMs, ``jobs`` models are edited at a time (0: one for each core).
        With ``dampen_only`` logits are not suppressed where no alpha is enough; with ``dry_run`` nothing is
        written. With ``depth="features"`` the penultimate layer is edited too, so that the features forget; that
        needs the training data, or activation statistics in FIM cards, and a model for which it cannot be done keeps
        to its outputs, with a warning. ``"auto"`` is ``"features"`` for whole classes in networks that are run, in the
        engine or by Python (:func:`disinherit.torch.samples`), unless anything about dampening is asked for;
        ``"outputs"`` is dampening alone. Where the edit of that layer leaves a class as easy to find as before, a few
        training steps over the network's last stage follow, in image networks that the engine runs; with
        ``last_stage=False`` none do.

        No model may lose more of its accuracy on the retained data than ``target_loss`` (0.01 when not given):
        :class:`disinherit.LosesTooMuch` is raised then, its ``models`` say which would, and nothing is published.
        ``accept_loss`` publishes them all the same, up to this loss. A model that was trained on nothing but the
        forget data is retired: nothing replaces it.

        ``method`` names another method, as ``disinherit methods`` lists them. When not given it is ``fiun`` for
        classes; for samples and sources ``matching``, or ``fiun`` where there is no data, or ``alpha``, ``rule`` or
        ``layers`` are given.
        """
        options = Options(
            alpha=alpha,
            rule=rule,
            lambda_=lambda_,
            raw=raw,
            merge_scale=merge_scale,
            target_forget=target_forget,
            target_loss=target_loss,
            accept_loss=accept_loss,
            layers=patterns(layers),
            estimator=estimator,
            jobs=jobs,
            dry_run=dry_run,
            dampen_only=dampen_only,
            depth=depth,
            last_stage=last_stage,
            method=method,
        )
        asked = request(classes, source, samples, initial)
        return self._inner.unlearn(asked, None if data is None else data._inner, options, progress_bars(progress))

    def unlearn_shard(
        self,
        shard: str,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
        data: Optional[Data] = None,
        progress: bool = True,
        layers: Optional[Labels] = None,
        **options: Any,
    ) -> ShardDone:
        """Do one of several equal parts of a request, ``"3/40"`` for the third of forty, and publish nothing.

        The other arguments are those of :meth:`unlearn`, the same in every process. What was edited is kept in the
        registry; when all parts are done, :meth:`unlearn` takes them up and publishes. A part that failed can be done
        again, or is left to that call. ``dry_run`` is not possible.
        """
        how = Options(layers=patterns(layers), shard=shard, **options)
        asked = request(classes, source, samples, initial)
        inner = None if data is None else data._inner
        return self._inner.unlearn_shard(asked, inner, how, progress_bars(progress))

    def verify(
        self,
        data: Data,
        *,
        models: Labels = (),
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        at_most: float = 0.01,
        deep: bool = False,
        shard: Optional[str] = None,
        progress: bool = True,
    ) -> List[Verdict]:
        """Whether models have forgotten; those of the last request, and what it forgot, when not given.

        With ``deep`` their insides are looked at too, beside a model of the graph that never saw the forget data;
        this trains a little. With ``shard="3/40"`` only the third of forty equal parts of the models is judged.
        """
        asked = None
        if classes is not None or source is not None or samples is not None:
            asked = request(classes, source, samples)
        return self._inner.verify(data._inner, listed(models), asked, at_most, deep, shard, progress_bars(progress))

    def certify(
        self,
        path: PathLike,
        key: Union[PathLike, bytes],
        *,
        request: Union[None, str, int] = None,
        data: Optional[Data] = None,
        at_most: float = 0.01,
        deep: bool = False,
        in_toto: bool = False,
        force: bool = False,
        progress: bool = True,
    ) -> Certificate:
        """Write a certificate of what a request did, signed with a key (a path, or its contents as bytes).

        ``request`` is the request's id or the number of its operation; the last one when not given. With ``data`` it
        says how far each new version has forgotten, as :meth:`verify` does, and says so too where one has not. With
        ``in_toto`` the same is written in the words of in-toto: for ``proof.json`` as ``proof.test-result.json`` and
        ``proof.summary.json``. Files that are there are replaced with ``force`` only.
        """
        files = Files(path, in_toto, force)
        texts, certificate = self._inner.certify(
            contents(key),
            None if request is None else str(request),
            None if data is None else data._inner,
            (at_most, deep, in_toto),
            progress_bars(progress),
        )
        files.write(texts)
        return certificate

    def bom(
        self,
        model: Optional[str] = None,
        *,
        request: Union[None, str, int] = None,
        certificate: Optional[PathLike] = None,
        public_key: Union[None, PathLike, bytes] = None,
    ) -> Dict[str, Any]:
        """The bill of materials of a model as CycloneDX 1.7, ready for JSON; without ``model`` that of a request.

        ``request`` is its id or the number of its operation; the last one when not given. With a ``certificate`` and
        the ``public_key`` of its issuer, what was measured becomes metrics, and the certificate is named as attestation.
        """
        proof = None
        if certificate is not None:
            if public_key is None:
                raise TypeError("a certificate needs the public key of its issuer: `public_key=`")
            proof = (os.path.basename(os.fspath(certificate)), contents(certificate), contents(public_key))
        return self._inner.bill(model, None if request is None else str(request), proof)

    def openlineage(
        self, *, namespace: str = "disinherit", request: Union[None, str, int] = None
    ) -> List[Dict[str, Any]]:
        """The operation log as OpenLineage events, ready for JSON; that of one ``request`` where it is given.

        ``namespace`` is that of jobs and models.
        """
        return self._inner.lineage_events(namespace, None if request is None else str(request))

    def report(self, path: PathLike, data: Optional[Data] = None, *, progress: bool = True) -> None:
        """Write the page of the last request."""
        inner = None if data is None else data._inner
        self._inner.report(os.fspath(path), inner, progress_bars(progress))

    def export(self, model: str, path: PathLike, *, sign: Union[None, PathLike, bytes] = None) -> Optional[str]:
        """Write a model in the format that it came in.

        With ``sign``, a key over P-256 (a path, or its contents as bytes), what is written is signed as
        ``model_signing verify key`` checks it; returns where the signature is.
        """
        return self._inner.export(model, os.fspath(path), None if sign is None else contents(sign))

    def tensors(self, model: str) -> Dict[str, Tuple[str, Tuple[int, ...], NDArray[np.uint8]]]:
        """A model's tensors: type as in safetensors, shape, bytes."""
        names = self._inner.tensor_names(model)
        return {name: (dtype, tuple(shape), self._inner.tensor(model, name)) for name, dtype, shape in names}

    def head(self, model: str) -> Tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A model's head: weight ``[outputs, inputs]`` and bias ``[outputs]``, single precision.

        Where the head has no bias, zeros stand for it.
        """
        import numpy as np

        manifest = self.show(model).manifest
        parts: List[NDArray[np.float32]] = []
        for part in ("weight", "bias"):
            name = f"{manifest.head}.{part}"
            if name not in manifest.tensors:
                parts.append(np.zeros(len(parts[0]), np.float32))
                continue
            info = manifest.tensors[name]
            parts.append(floats(info.dtype, self._inner.tensor(model, name)).reshape(info.shape))
        weight = parts[0].reshape(parts[0].shape[:2])
        return weight, parts[1]

    def __repr__(self) -> str:
        return repr(self._inner)
