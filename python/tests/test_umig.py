"""The graph from Python alone, and through the formats and the libraries of others."""

import io
import json
import random
import re
from pathlib import Path

import pytest

from disinherit import DisinheritError, Registry, UnknownModel
from disinherit.results import Relation, Training
from disinherit.umig import Umig

#: What every format has to escape somewhere.
WORDS = ["cat", "<&>\"' ]]>", "line\nbreak\ttab\x01", "\ufffe", "Füchse 狐", ""]


def family():
    graph = Umig()
    graph.add("base", trained_on="photos", trained_labels=["cat", "dog"])
    graph.add("clinic-a", parents="base", trained_on=Training("visits", labels=["dog"], source="clinic a"))
    graph.add("clinic-b", parents={"base": Relation("transfer", frozen=["conv1.weight"])})
    graph.add("server", parents={"clinic-a": "federated_average=0.75", "clinic-b": "federated_average=0.25"})
    graph.add("aside", labels=["cat"], time=0)
    return graph


def anything(seed):
    """A graph with whatever can be said of models and edges."""
    chance = random.Random(seed)
    graph = Umig()
    kinds = ["fine_tune", "incremental", "distributed_average", "distilled", "merged", "quantised", "adapter"]
    kinds += ["transfer", "federated_average", "merged=0.5", "unlearned_from"]
    for n in range(chance.randint(1, 12)):
        parents = {}
        for parent in chance.sample(range(n), min(n, chance.randint(0, 3))):
            how = chance.choice(kinds)
            if how == "transfer":
                how = Relation(how, frozen=chance.sample(WORDS, 2))
            elif how == "federated_average":
                how = Relation(how, weight=chance.randint(1, 64) / 64)
            elif how == "unlearned_from":
                how = Relation(how, request="forget <&>")
            parents[f"m/é-{parent}@1"] = how
        training = [
            Training(
                chance.choice(WORDS),
                labels=chance.sample(WORDS, 2),
                samples=chance.choice([None, sorted(chance.sample(WORDS, 2))]),
                source=chance.choice([None, *WORDS]),
                split=chance.choice([None, "train"]),
                digest=chance.choice([None, "0" * 64]),
            )
            for _ in range(chance.randint(0, 2))
        ]
        graph.add(f"m/é-{n}", parents=parents, labels=chance.sample(WORDS, 3), trained_on=training)
        if chance.random() < 0.2:
            graph.supersede(f"m/é-{n}")
    return graph


def test_a_graph_says_whom_a_request_touches():
    graph = family()
    scope = graph.scope(classes="cat")
    assert (scope.initial, scope.inherited) == (["base@1"], ["clinic-a@1", "clinic-b@1", "server@1"])
    assert [scope.role(model) for model in ("base@1", "server@1", "aside@1")] == ["initial", "inherited", "untouched"]
    assert graph.scope(source="clinic a").reached_by == {"clinic-a@1": ["clinic-a@1"], "server@1": ["clinic-a@1"]}
    assert graph.scope(classes="dog", initial="clinic-a").inherited == ["server@1"]
    plan = graph.plan(classes="cat")
    assert plan.roles == {"base@1": "initial", **{model: "inherited" for model in scope.inherited}}
    assert [len(stage.tasks) for stage in plan.stages] == [1, 4]
    with pytest.raises(DisinheritError, match="trained on class `cow` .current models were trained on: cat, dog"):
        graph.scope(classes="cow")
    with pytest.raises(DisinheritError, match="give one of `classes=`"):
        graph.scope()


def test_a_graph_is_walked():
    graph = family()
    assert list(graph) == ["base@1", "clinic-a@1", "clinic-b@1", "server@1", "aside@1"]
    assert graph.ancestors("server") == ["base@1", "clinic-a@1", "clinic-b@1"]
    assert graph.descendants("clinic-a@1") == ["server@1"]
    assert graph.depths()["server@1"] == 2
    assert [(edge.child, edge.relation.kind) for edge in graph.children("base")] == [
        ("clinic-a@1", "fine_tune"),
        ("clinic-b@1", "transfer"),
    ]
    assert [edge.relation.weight for edge in graph.parents("server")] == [0.75, 0.25]
    assert graph["base"].training[0].labels == ["cat", "dog"]
    assert "server" in graph and "server@2" not in graph and 7 not in graph and len(graph) == 5
    assert graph.add("server", parents={"server": Relation("unlearned_from", request="r1")}) == "server@2"
    graph.supersede("server@1")
    assert graph["server"].id == "server@2" and graph["server@1"].superseded
    assert "server@1" not in graph.current() and len(graph.current()) == 5 and len(graph) == 6


def test_what_is_no_inheritance_is_refused():
    graph = family()
    for what, kind, words in [
        (lambda: graph.add("base@1"), DisinheritError, "exists already"),
        (lambda: graph.add("x", parents="bose"), UnknownModel, "did you mean `base"),
        (lambda: graph.add("x", parents="server", time=0), DisinheritError, "older than its parent"),
        (lambda: graph.add("x", parents={"base": "federated_average=-1"}), DisinheritError, "positive"),
        (lambda: graph.add("x", parents={"base": "married"}), DisinheritError, "married"),
        (lambda: graph.add("x", parents={"base": "unlearned_from"}), DisinheritError, "names its request"),
        (lambda: graph.add("../x"), DisinheritError, "is not a model id"),
        (lambda: graph.add_edge("server", "base"), DisinheritError, "a cycle"),
        (lambda: graph.descendants("nothing"), UnknownModel, "nothing"),
        (lambda: Umig.from_json("{}"), DisinheritError, "no graph"),
        (lambda: Umig.from_json('{"format": "umig/9", "models": [], "edges": []}'), DisinheritError, "umig/9"),
    ]:
        with pytest.raises(kind, match=words):
            what()
    assert graph == family()


@pytest.mark.parametrize("seed", range(20))
def test_json_is_the_whole_graph(seed):
    graph = anything(seed)
    assert Umig.from_json(graph.to_json()) == graph
    assert [model.to_dict() for model in Umig.from_json(graph.to_json()).models()] == [m.to_dict() for m in graph.models()]


@pytest.mark.parametrize("seed", range(20))
def test_networkx_reads_it_and_gives_it_back(seed):
    networkx = pytest.importorskip("networkx")
    graph = anything(seed)
    theirs = graph.to_networkx()
    assert set(theirs) == set(graph) and theirs.number_of_edges() == len(graph.edges())
    assert networkx.is_directed_acyclic_graph(theirs)
    for model in graph:
        assert networkx.descendants(theirs, model) == set(graph.descendants(model))
        assert networkx.ancestors(theirs, model) == set(graph.ancestors(model))
    assert same(Umig.from_networkx(theirs), graph)
    read = networkx.read_graphml(io.BytesIO(graph.to_graphml().encode()))
    assert same(Umig.from_networkx(read), graph)


def same(one, other):
    """The same models and edges, in whatever order NetworkX keeps its edges."""
    one, other = json.loads(one.to_json()), json.loads(other.to_json())
    for graph in (one, other):
        graph["edges"].sort(key=lambda edge: json.dumps(edge, sort_keys=True))
    return one == other


def test_networkx_keeps_lists_that_are_kept_elsewhere():
    pytest.importorskip("networkx")
    document = json.loads(family().to_json())
    training = document["models"][0]["training"][0]
    training["samples"] = {"kept": {"list": "ab" * 32, "count": 2000}}
    graph = Umig.from_json(json.dumps(document))
    theirs = graph.to_networkx()
    assert theirs.nodes["base@1"]["training"][0]["samples"] == training["samples"]
    assert Umig.from_networkx(theirs) == graph != family()
    theirs.nodes["base@1"]["training"] = [{"data": "photos", "labels": float("nan")}]
    with pytest.raises(ValueError, match="no finite number"):
        Umig.from_networkx(theirs)


def test_a_graph_of_somebody_elses_comes_in():
    networkx = pytest.importorskip("networkx")
    theirs = networkx.DiGraph([("base", "clinic"), ("clinic", "ward")])
    theirs.nodes["base"]["training"] = [{"data": "photos", "labels": ["cat"]}]
    theirs.edges["base", "clinic"]["relation"] = "distilled"
    graph = Umig.from_networkx(theirs)
    assert graph.scope(classes="cat").inherited == ["clinic@1", "ward@1"]
    assert [edge.relation.kind for edge in graph.edges()] == ["distilled", "fine_tune"]
    with pytest.raises(ValueError, match="no cycles"):
        Umig.from_networkx(networkx.DiGraph([("a", "b"), ("b", "a")]))
    with pytest.raises(ValueError, match="directed"):
        Umig.from_networkx(networkx.Graph([("a", "b")]))


def test_a_parent_may_come_twice():
    networkx = pytest.importorskip("networkx")
    graph = Umig()
    graph.add("base")
    graph.add("soup", parents={"base": "merged=0.5"})
    graph.add_edge("base", "soup", "merged=0.25")
    theirs = graph.to_networkx()
    assert theirs.is_multigraph() and theirs.number_of_edges() == 2
    assert same(Umig.from_networkx(theirs), graph)
    read = networkx.read_graphml(io.BytesIO(graph.to_graphml().encode()))
    assert same(Umig.from_networkx(read), graph)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_graphviz_reads_the_drawing():
    pydot = pytest.importorskip("pydot")
    graph = family()
    (drawn,) = pydot.graph_from_dot_data(graph.to_dot())
    names = {node.get_name().strip('"') for node in drawn.get_nodes()} - {"node"}
    assert names == set(graph)
    edges = {(e.get_source().strip('"'), e.get_destination().strip('"')): e.get_label().strip('"') for e in drawn.get_edges()}
    assert edges == {
        ("base@1", "clinic-a@1"): "fine tune",
        ("base@1", "clinic-b@1"): "transfer",
        ("clinic-a@1", "server@1"): "federated average 0.750",
        ("clinic-b@1", "server@1"): "federated average 0.250",
    }


def test_arrow_reads_the_edges():
    parquet = pytest.importorskip("pyarrow.parquet")
    graph = family()
    graph.add("server", parents={"server": Relation("unlearned_from", request="r1")})
    rows = parquet.read_table(io.BytesIO(graph.to_parquet())).to_pylist()
    assert [(row["parent"], row["child"], row["relation"]) for row in rows] == [
        (edge.parent, edge.child, edge.relation.kind) for edge in graph.edges()
    ]
    assert [row["weight"] for row in rows] == [None, None, 0.75, 0.25, None]
    assert [row["frozen"] for row in rows] == [None, ["conv1.weight"], None, None, None]
    assert [row["request"] for row in rows] == [None, None, None, None, "r1"]
    assert parquet.read_table(io.BytesIO(Umig().to_parquet())).num_rows == 0


def edges_of(graph):
    return [(edge.parent, edge.child, edge.relation) for edge in graph.edges()]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read_again(seed):
    graph = anything(seed)
    assert Umig.from_graphml(graph.to_graphml()) == graph
    # A table of edges says no more of the models than their ids.
    read = Umig.from_parquet(graph.to_parquet())
    assert edges_of(read) == edges_of(graph)
    assert set(read) == {model for edge in graph.edges() for model in (edge.parent, edge.child)}
    assert read == Umig.from_parquet(read.to_parquet())


def test_graphml_of_networkx_is_read_without_it():
    networkx = pytest.importorskip("networkx")
    theirs = networkx.DiGraph()
    theirs.add_edge("base", "clinic", relation="merged", weight=0.5)
    theirs.add_edge("clinic", "last")
    text = "\n".join(networkx.generate_graphml(theirs))
    assert Umig.from_graphml(text) == Umig.from_networkx(theirs)
    whole = family().to_networkx()
    for _, said in whole.nodes(data=True):
        said.update(labels=json.dumps(said["labels"]), training=json.dumps(said["training"]))
    for _, _, said in whole.edges(data=True):
        said.update({key: json.dumps(value) for key, value in said.items() if isinstance(value, list)})
    assert Umig.from_graphml("\n".join(networkx.generate_graphml(whole))) == family()


def test_a_table_of_edges_of_others_is_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def table(**columns):
        out = io.BytesIO()
        parquet.write_table(pa.table(columns), out)
        return out.getvalue()

    plain = Umig.from_parquet(table(child=["b", "c"], parent=["a", "b"]))
    assert list(plain) == ["a@1", "b@1", "c@1"] and [edge.relation.kind for edge in plain.edges()] == ["fine_tune"] * 2
    large = table(
        parent=pa.array(["a@3"], pa.large_string()),
        child=pa.array(["b"]).dictionary_encode(),
        relation=["merged"],
        weight=pa.array([0.5], pa.float32()),
        run=[7],
    )
    (edge,) = Umig.from_parquet(large).edges()
    assert (edge.parent, edge.child, edge.relation.weight) == ("a@3", "b@1", 0.5)
    for words, content in [
        ("no text in the column `parent`", table(child=["b"])),
        ("the column `child` holds 1", table(parent=["a"], child=[1])),
        ("`married` is no relation", table(parent=["a"], child=["b"], relation=["married"])),
        ("names no request", table(parent=["a"], child=["b"], relation=["unlearned_from"])),
        ("is not a model id", table(parent=["../a"], child=["b"])),
        ("a cycle", table(parent=["a", "b"], child=["b", "a"])),
        ("no table of edges", b"PAR1"),
        ("no table of edges", large[: len(large) // 2]),
    ]:
        with pytest.raises(DisinheritError, match=words):
            Umig.from_parquet(content)
    with pytest.raises(DisinheritError, match="no graph"):
        Umig.from_graphml("<html/>")


def test_mermaid_has_every_model_and_edge():
    lines = family().to_mermaid().splitlines()
    assert lines[0] == "graph LR" and '  n3["server@1"]' in lines
    assert "  n1 -->|federated average 0.750| n3" in lines


def test_a_registry_gives_its_graph():
    import numpy as np

    registry = Registry.memory()
    state = {"fc.weight": np.ones((2, 3), np.float32), "fc.bias": np.zeros(2, np.float32)}
    registry.add("base", state, labels=["cat", "dog"], trained_on="photos")
    registry.add("clinic", state, labels=["cat", "dog"], parents=["base"])
    graph = registry.umig()
    assert graph.scope(classes="cat").to_dict() == {
        "initial": ["base@1"],
        "inherited": ["clinic@1"],
        "reached_by": {"base@1": ["base@1"], "clinic@1": ["base@1"]},
    }
    assert Umig.from_json(graph.to_json()) == graph and "2 models, 1 edges" in repr(graph)


def test_the_page_keeps_its_word(tmp_path, monkeypatch, capsys):
    pytest.importorskip("networkx")
    page = (Path(__file__).parents[2] / "docs" / "umig.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graph.graphml").write_text(family().to_graphml(), "utf-8")
    exec(compile(first + second, "umig.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == re.findall(r"# (\[.*|inherited)$", first, re.M) and len(printed) == 4
