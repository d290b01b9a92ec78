"""The inheritance graph alone, without a registry and without weights.

A :class:`Umig` says which model inherited from which and what each was trained on itself, and answers whom a
request to forget touches, and what work that means. It reads and writes what ``disinherit graph`` writes as JSON, GraphML and
Parquet, draws for Graphviz and Mermaid, and goes to NetworkX and back::

    from disinherit.umig import Umig

    graph = Umig()
    graph.add("base", trained_on="photos", trained_labels=["cat", "dog"])
    graph.add("clinic", parents={"base": "fine_tune"})
    graph.scope(classes="cat").inherited     # ["clinic@1"]
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

from ._arguments import Labels, NewVertex, parents_of, relation, request, trainings
from ._disinherit import Umig as _Umig
from .results import Edge, Plan, Relation, Scope, Training, Vertex

if TYPE_CHECKING:
    from networkx import DiGraph

__all__ = ["Edge", "Plan", "Relation", "Scope", "Training", "Umig", "Vertex"]


class Umig:
    """A Unified Model Inheritance Graph: models, and which of them inherited from which.

    Models are named ``name@version``; ``name`` alone is the newest version that was not replaced.
    """

    def __init__(self) -> None:
        self._inner = _Umig()

    @classmethod
    def _from_inner(cls, inner: _Umig) -> Umig:
        graph = cls.__new__(cls)
        graph._inner = inner
        return graph

    def add(
        self,
        name: str,
        *,
        parents: Union[str, Sequence[str], Mapping[str, Union[str, Relation]]] = (),
        time: Optional[int] = None,
        labels: Sequence[str] = (),
        trained_on: Union[None, str, Training, Sequence[Training]] = None,
        trained_labels: Optional[Sequence[str]] = None,
        samples: Optional[Iterable[str]] = None,
        provider: Optional[str] = None,
    ) -> str:
        """Add a model and return its id.

        ``name`` is an id (``clinic@2``), or a name, whose next version it is then. ``parents`` and ``trained_on`` are
        as in :meth:`disinherit.Registry.add`. ``time`` is when it came to be, in milliseconds since 1970 or by any
        clock that never runs backwards along an edge; one more than the latest model's when not given. A cycle, an
        unknown parent and a child that is older than a parent are refused.
        """
        trained = trainings(trained_on, trained_labels, samples, provider)
        vertex = NewVertex(name, parents_of(parents), time, [str(label) for label in labels], trained)
        return self._inner.add(vertex)

    def add_edge(self, parent: str, child: str, how: Union[str, Relation] = "fine_tune") -> None:
        """Say that a model that is there already inherited from another one, too."""
        self._inner.add_edge(parent, child, relation(how))

    def supersede(self, model: str) -> None:
        """Mark a version as replaced: requests pass it over."""
        self._inner.supersede(model)

    def __len__(self) -> int:
        return len(self._inner)

    def __contains__(self, model: object) -> bool:
        return isinstance(model, str) and self._inner.find(model) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.ordered())

    def __getitem__(self, model: str) -> Vertex:
        vertex = self._inner.find(model)
        if vertex is None:
            raise KeyError(model)
        return vertex

    def models(self) -> List[Vertex]:
        """All models, in the order in which they were added."""
        return self._inner.models()

    def edges(self) -> List[Edge]:
        """All edges."""
        return self._inner.edges()

    def parents(self, model: str) -> List[Edge]:
        """The edges that lead to a model."""
        return self._inner.parents(model)

    def children(self, model: str) -> List[Edge]:
        """The edges that go out from a model."""
        return self._inner.children(model)

    def ancestors(self, model: str) -> List[str]:
        """Every model that this one inherited from, directly or not."""
        return self._inner.ancestors(model)

    def descendants(self, model: str) -> List[str]:
        """Every model that inherited from this one, directly or not."""
        return self._inner.descendants(model)

    def ordered(self) -> List[str]:
        """The ids of all models, parents before children."""
        return self._inner.ordered()

    def depths(self) -> Dict[str, int]:
        """For every model, the length of the longest chain of inheritance that leads to it."""
        return self._inner.depths()

    def scope(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
    ) -> Scope:
        """Whom a request touches: the models that the data came in through, and all that inherited from them.

        Without ``initial``, what the models were trained on tells.
        """
        return self._inner.scope(request(classes, source, samples, initial))

    def plan(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
    ) -> Plan:
        """The work that answers a request where every model has its FIM card: two stages, however deep the graph."""
        return self._inner.plan(request(classes, source, samples, initial))

    def current(self) -> Umig:
        """The graph of the versions that were not replaced."""
        return Umig._from_inner(self._inner.current())

    def to_json(self) -> str:
        """The graph as JSON, which is what ``docs/formats.md`` describes."""
        return self._inner.to_json()

    @classmethod
    def from_json(cls, text: str) -> Umig:
        """A graph from its JSON."""
        return cls._from_inner(_Umig.from_json(text))

    @classmethod
    def from_graphml(cls, text: str) -> Umig:
        """A graph from GraphML: what :meth:`to_graphml` or another library wrote.

        Nodes are ids or names, and all attributes are optional, as in :meth:`from_networkx`. Nothing besides this
        package is needed.
        """
        return cls._from_inner(_Umig.from_graphml(text))

    @classmethod
    def from_parquet(cls, table: bytes) -> Umig:
        """A graph from a Parquet table of its edges, as :meth:`to_parquet` or another tool wrote it.

        Only ``parent`` and ``child`` are needed. A table names models by their ids only; what they were trained on is in
        the other forms.
        """
        return cls._from_inner(_Umig.from_parquet(table))

    def to_graphml(self) -> str:
        """The graph as GraphML, with all that is known of it."""
        return self._inner.to_graphml()

    def to_dot(self) -> str:
        """The graph as a drawing for Graphviz."""
        return self._inner.to_dot()

    def to_mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        return self._inner.to_mermaid()

    def to_parquet(self) -> bytes:
        """The edges as a Parquet file: ``parent``, ``child``, ``relation``, ``weight``, ``frozen``, ``request``."""
        return self._inner.to_parquet()

    def to_networkx(self) -> DiGraph:
        """The graph for NetworkX, parents pointing to children.

        Nodes are ids with the attributes ``name``, ``version``, ``time``, ``superseded``, ``labels`` and ``training``
        (as in the JSON form), edges have ``relation`` and, where the relation has them, ``weight``, ``frozen`` and
        ``request``. A ``MultiDiGraph`` where a model has a parent twice.
        """
        import networkx

        document = self._inner.document()
        pairs = [(edge["parent"], edge["child"]) for edge in document["edges"]]
        graph = networkx.DiGraph() if len(set(pairs)) == len(pairs) else networkx.MultiDiGraph()
        for model in document["models"]:
            name, _, version = model.pop("id").rpartition("@")
            graph.add_node(f"{name}@{version}", name=name, version=int(version), **model)
        for (parent, child), edge in zip(pairs, document["edges"]):
            how = edge["relation"]
            kept = {key: value for key, value in how.items() if key != "kind" and value is not None}
            graph.add_edge(parent, child, relation=how["kind"], **kept)
        return graph

    @classmethod
    def from_networkx(cls, graph: DiGraph) -> Umig:
        """A graph from NetworkX: one that :meth:`to_networkx` made, one that ``networkx.read_graphml`` read, or any other.

        Of a graph of your own, nodes are names or ids, and all attributes are optional: edges without a ``relation``
        are ``fine_tune``, and without ``time`` a node's place in the topological order is its time.
        """
        import networkx

        if not graph.is_directed():
            raise ValueError("an inheritance graph is directed, from parents to children")
        if not networkx.is_directed_acyclic_graph(graph):
            raise ValueError("an inheritance graph has no cycles")
        ids = {node: node if "@" in str(node) else f"{node}@1" for node in graph}
        order = {node: place for place, node in enumerate(networkx.topological_sort(graph))}
        models = [_vertex(str(ids[node]), order[node], data) for node, data in graph.nodes(data=True)]
        edges = [_edge(str(ids[parent]), str(ids[child]), data) for parent, child, data in graph.edges(data=True)]
        return cls._from_inner(_Umig.from_document({"format": "umig/1", "models": models, "edges": edges}))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Umig) and self._inner.equals(other._inner)

    def __repr__(self) -> str:
        return f"<disinherit.umig.Umig of {len(self)} models, {len(self.edges())} edges>"


def _parsed(value: Any) -> Any:
    """What GraphML holds as a text of JSON."""
    return json.loads(value) if isinstance(value, str) else value


def _vertex(model: str, place: int, data: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "id": model,
        "time": int(data.get("time", place)),
        "labels": _parsed(data.get("labels", [])),
        "training": _parsed(data.get("training", [])),
        "superseded": bool(data.get("superseded", False)),
    }


def _edge(parent: str, child: str, data: Mapping[str, Any]) -> Dict[str, Any]:
    kind = data.get("relation", "fine_tune")
    how: Dict[str, Any] = {"kind": kind}
    if kind in ("federated_average", "merged"):
        how["weight"] = data.get("weight", 1.0 if kind == "federated_average" else None)
    if kind == "transfer":
        how["frozen"] = _parsed(data.get("frozen", []))
    if kind == "unlearned_from":
        how["request"] = data.get("request") or ""
    return {"parent": parent, "child": child, "relation": how}
