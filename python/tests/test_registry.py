"""The registry from Python, with nothing but NumPy."""

import dataclasses
import json

import numpy as np
import pytest

import disinherit
from disinherit import Checkpoint, Data, DisinheritError, Registry, Relation

LABELS = ["ant", "bee", "cat"]


def samples(seed):
    chance = np.random.default_rng(seed)
    labels = np.arange(300) % 3
    return (3 * np.eye(3, 8)[labels] + chance.normal(size=(300, 8))).astype(np.float32), labels


def trained(rounds=300, seed=0, start=None):
    """A linear softmax classifier on features, by gradient descent."""
    features, labels = samples(1)
    weight, bias = start or (np.random.default_rng(seed).normal(size=(3, 8)) * 0.1, np.zeros(3))
    weight, bias = weight.astype(np.float64), bias.astype(np.float64)
    for _ in range(rounds):
        residuals = softmax(features @ weight.T + bias) - np.eye(3)[labels]
        weight = weight - 0.5 * residuals.T @ features / len(labels)
        bias = bias - 0.5 * residuals.mean(0)
    return weight.astype(np.float32), bias.astype(np.float32)


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def state(head, body=1.0):
    return {
        "body": np.full((4, 4), body, np.float16),
        "fc.weight": head[0],
        "fc.bias": head[1],
    }


def data(names=None):
    (seen, labels), (unseen, others) = samples(1), samples(2)
    features = np.concatenate([seen, unseen])
    return Data.from_features(
        features if names is None else {name: features for name in names},
        np.concatenate([labels, others]),
        LABELS,
        heldout=np.repeat([False, True], 300),
        ids=[f"sample-{n}" for n in range(300)],
        heldout_ids=[f"sample-{n}" for n in range(300, 600)],
    )


@pytest.fixture()
def registry(tmp_path):
    made = Registry.create(tmp_path)
    base = trained()
    made.add("base", state(base), labels=LABELS, trained_on="insects")
    made.add(
        "child",
        state(trained(100, start=base)),
        labels=LABELS,
        parents={"base": "transfer"},
        trained_on="insects",
    )
    return made


def test_a_family_forgets(registry, tmp_path):
    before = registry.head("child@1")
    done = registry.unlearn(classes="cat", initial="base", data=data(), progress=False)
    assert [m.after for m in done.models] == ["base@2", "child@2"]
    verdicts = registry.verify(data(), progress=False)
    assert [v.passed for v in verdicts] == [True, True]
    weight, bias = registry.head("child")
    unseen, labels = samples(2)
    guesses = (unseen @ weight.T + bias).argmax(1)
    assert (guesses[labels == 2] != 2).all()
    assert (guesses[labels != 2] == labels[labels != 2]).mean() > 0.9
    assert np.array_equal(registry.head("child@1")[0], before[0])
    registry.report(tmp_path / "report.html", data(), progress=False)
    page = (tmp_path / "report.html").read_text()
    assert "child" in page and registry.show("child").model.digest in page
    assert registry.log()[-1].command == "unlearn"
    # The command line reads what Python wrote, and the other way round.
    again = Registry(tmp_path)
    assert {m.id: m.state for m in again.models()}["child@1"] == "superseded"


def test_everything_else_of_a_model_stays(registry):
    registry.unlearn(classes="cat", initial="base", data=data(), progress=False)
    old, new = registry.tensors("child@1"), registry.tensors("child@2")
    assert old["body"][0] == "F16" and old["body"][1] == (4, 4)
    assert np.array_equal(old["body"][2], new["body"][2])
    assert not np.array_equal(old["fc.weight"][2], new["fc.weight"][2])


def test_cards_serve_later(registry):
    assert registry.fisher(["base", "child"], data(), progress=False) == 2
    assert registry.show("child").cards == ["empirical"]
    done = registry.unlearn(classes=["cat"], initial="base", alpha=1.5, lambda_=0.5, progress=False)
    assert {m.alpha for m in done.models} == {1.5}
    undone = registry.undo(done.operation)
    assert undone.restored == ["base@1", "child@1"]


def test_a_dry_run_changes_nothing(registry):
    before = registry.models()
    done = registry.unlearn(classes="cat", initial="base", data=data(), dry_run=True, progress=False)
    assert done.operation is None and registry.models() == before


def test_the_head_fim_is_the_mean_of_squared_gradients():
    features, labels = samples(1)
    weight, bias = trained(20)
    logits = features @ weight.T + bias
    fisher, of_bias, counts = disinherit.head_fisher(
        features, logits.astype(np.float32), labels.astype(np.int64), 3
    )
    residuals = softmax(logits.astype(np.float64)) - np.eye(3)[labels]
    for label in range(3):
        own = labels == label
        expected = np.einsum("no,ni->oi", residuals[own] ** 2, features[own].astype(float) ** 2) / own.sum()
        assert np.allclose(fisher[label], expected, rtol=1e-4)
        assert np.allclose(of_bias[label], (residuals[own] ** 2).mean(0), rtol=1e-4)
    assert list(counts) == [100, 100, 100]


def test_dampening_is_in_place_and_as_in_the_paper():
    values = np.array([[1.0, -2.0], [3.0, 4.0]], np.float32)
    own = np.array([[1.0, 1.0], [2.0, 0.0]], np.float32)
    forget = np.array([[1.0, 4.0], [8.0, 1.0]], np.float32)
    assert disinherit.dampen(values, own, forget, 2.0, 0.5) == 3
    assert np.array_equal(values, np.array([[1.0, -0.25], [0.375, 0.0]], np.float32))
    with pytest.raises(DisinheritError, match="shape"):
        disinherit.dampen(values, own[:1], forget[:1], 2.0)


def test_refusals_are_exceptions_in_words(registry, tmp_path):
    for what, words in [
        (lambda: registry.unlearn(classes="cow", data=data()), "unknown label `cow`"),
        (lambda: registry.unlearn(classes="cat", source="x"), "give one of `classes=`"),
        (lambda: registry.unlearn(classes="cat", initial="bose", data=data()), "did you mean `base"),
        (lambda: registry.add("x", {"a": np.ones(3, np.complex64)}), "complex64"),
        (lambda: registry.add("x", 7), "not int"),
        (lambda: registry.add("x", {"fc.weight": np.ones((3, 2), np.float32)}), "no linear layer"),
        (lambda: registry.add("x", state(trained(1)), labels=["a", "b"]), "2 outputs"),
        (lambda: registry.add("x", {"fc.weight": np.full((3, 2), np.nan), "fc.bias": np.zeros(3)}), "NaN"),
        (lambda: registry.add("x", tmp_path / "nowhere.pt"), "nowhere.pt"),
        (lambda: registry.unlearn(classes="cat", initial="base", data=data(["other"])), "no features of"),
        (lambda: Data.from_features(np.ones((3, 2)), [0, 1, 7], ["a", "b"]), "label 7"),
        (lambda: Data.open(tmp_path / "nowhere"), "nowhere"),
        (lambda: Registry.create(tmp_path), "already"),
        (lambda: registry.plan(), "give one of `classes=`"),
    ]:
        with pytest.raises(DisinheritError, match=words):
            what()
    with pytest.raises(TypeError, match="wrong"):
        registry.unlearn(classes="cat", wrong=1, data=data())
    assert [m.id for m in registry.models()] == ["base@1", "child@1"]


def test_graph_and_plan_are_plain_values(registry):
    graph = registry.graph()
    assert graph.edges[0].relation.kind == "transfer"
    assert graph.parents("child@1") == graph.edges == graph.children("base@1") and not graph.parents("base@1")
    plan = registry.plan(classes="cat", initial="base")
    assert json.loads(json.dumps(plan.to_dict()))["roles"] == {"base@1": "initial", "child@1": "inherited"}
    assert plan.initial == ["base@1"] and plan.inherited == ["child@1"]
    kinds = [task.kind for stage in plan.stages for task in stage.tasks]
    assert kinds == ["card", "card", "forget_fisher", "edit", "edit"]
    assert plan.training_data == ["base@1", "child@1"]
    registry.fisher(["base", "child"], data(), progress=False)
    plan = registry.plan(classes="cat", initial="base")
    assert not plan.training_data and len(plan.stages) == 2
    plan = registry.plan(samples=["sample-1"], initial="base")
    assert plan.training_data == ["base@1", "child@1"] and len(plan.stages) == 2
    assert "base@1" in repr(registry.plan(classes="cat"))
    assert "Registry" in repr(registry) and "600" not in repr(data()) and len(data()) == 600


def test_samples_are_matched_by_default(registry):
    person = [f"sample-{n}" for n in range(12)]
    done = registry.unlearn(samples=person, initial="base", data=data(), progress=False, accept_loss=0.1)
    assert done.method == "matching"
    for model in done.models:
        assert model.matched.forgotten == 12 and model.matched.head_only
        assert abs(model.matched.area[1] - model.matched.aim) <= abs(model.matched.area[0] - model.matched.aim) + 0.02
        assert any(f"{model.before}: only its head was matched" in warning for warning in done.warnings)
    verdicts = registry.verify(data(), progress=False)
    assert all(verdict.samples.weakest.id in person for verdict in verdicts)
    assert all(verdict.samples.interval[0] <= verdict.samples.area <= verdict.samples.interval[1] for verdict in verdicts)
    undone = registry.unlearn(samples=person, initial="base", data=data(), method="fiun", dry_run=True, progress=False, accept_loss=0.1)
    assert undone.method == "fiun" and undone.models[0].matched is None
    with pytest.raises(DisinheritError, match="unknown method"):
        registry.unlearn(samples=person, data=data(), method="fion", progress=False)


def test_a_registry_in_memory():
    registry = Registry.memory()
    assert registry.add("a", state(trained(5)), labels=LABELS) == "a@1"
    assert registry.add("a", state(trained(6)), labels=LABELS) == "a@2"


def test_a_registry_keeps_hashes_of_ids(tmp_path):
    ids = [f"sample-{n}" for n in range(300)]
    hashed = Registry.create(tmp_path / "hashed", hash_ids=True)
    hashed.add("base", state(trained(10)), labels=LABELS, trained_on="insects", samples=ids)
    training = hashed.show("base").model.training[0]
    assert (training.samples, training.sample_count, training.hashed_samples) == (None, 300, True)
    assert hashed.plan(samples=["sample-7"]).roles == {"base@1": "initial"}
    long = Registry.create(tmp_path / "long")
    long.add("base", state(trained(10)), labels=LABELS, trained_on="insects", samples=[f"s{n}" for n in range(1500)])
    assert long.models()[0].training[0].samples is None
    training = long.show("base").model.training[0]
    assert (len(training.samples), training.sample_count, training.hashed_samples) == (1500, 1500, False)


def test_several_models_are_added_in_one_operation(registry):
    before = len(registry.log())
    share = Relation("federated_average", 0.5)
    clients = [Checkpoint(f"client-{at}", state(trained(rounds=20, seed=at)), LABELS, trained_on="photos") for at in (1, 2)]
    average = Checkpoint("average", state(trained(rounds=20)), LABELS, parents={"client-1": share, "client-2@1": share})
    ids = registry.add_all([*clients, average])
    assert ids == ["client-1@1", "client-2@1", "average@1"]
    entry = registry.log()[-1]
    assert (len(registry.log()), entry.command) == (before + 1, "import")
    assert [model for model, _ in entry.changes.models] == ids
    assert {edge.parent for edge in registry.graph().parents("average@1")} == set(ids[:2])
    assert registry.tensors("client-2")["fc.bias"][1] == (3,)
    assert registry.add_all(iter([])) == [] and len(registry.log()) == before + 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"parents": "chld"}, "did you mean `child"), ({"labels": LABELS[:2]}, "label"), ({"source": "a/path"}, "mapping")],
)
def test_of_several_models_none_is_added_when_one_cannot_be(registry, wrong, words):
    before = registry.models(), registry.log()
    good = Checkpoint("client-1", state(trained(rounds=20)), LABELS)
    with pytest.raises(DisinheritError, match=words):
        registry.add_all([good, dataclasses.replace(good, **{"name": "other", **wrong})])
    assert (registry.models(), registry.log()) == before
