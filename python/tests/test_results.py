"""What methods give back: every result is of the types that it says, frozen, comparable, and plain on request."""

import dataclasses
import json
import re
import typing
from pathlib import Path

import numpy as np
import pytest

from disinherit import LosesTooMuch, Registry, Relation, Training, results, verify_certificate
from disinherit.certificates import new_key
from test_registry import LABELS, data, state, trained


def check(value, wanted, where):
    """A value against its annotation, all the way down."""
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is typing.Any:
        return
    if origin is typing.Union:
        if value is not None:
            check(value, next(kind for kind in inner if kind is not type(None)), where)
        else:
            assert type(None) in inner, where
    elif origin is list:
        assert type(value) is list, where
        for item in value:
            check(item, inner[0], where)
    elif origin is dict:
        assert type(value) is dict, where
        for key, item in value.items():
            check(key, inner[0], where)
            check(item, inner[1], where)
    elif origin is tuple:
        assert type(value) is tuple and len(value) == len(inner), where
        for item, kind in zip(value, inner):
            check(item, kind, where)
    elif dataclasses.is_dataclass(wanted):
        assert type(value) is wanted, where
        seen.add(wanted)
        hints = typing.get_type_hints(wanted)
        for field in dataclasses.fields(wanted):
            check(getattr(value, field.name), hints[field.name], f"{where}.{field.name}")
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(wanted)[0].name, None)
        json.dumps(value.to_dict())
    else:
        assert type(value) is wanted, (where, value, wanted)


seen = set()
TRAINED_ON = Training("insects", labels=LABELS, samples=sorted(f"sample-{n}" for n in range(300)), source="zoo")
# What `import_tree` gives back: see test_import.py.
IMPORTED = {results.Imported, results.ImportedModel, results.ImportNote, results.ParentEvidence}
# What networks whose layers are known are compared with, and edited by: see test_same_heads.py.
REFERENCES = {results.Reference, results.Interval, results.InnerTrial, results.RefinedStage, results.RefinedInner}
# What steps of erasure requests give back: see test_requests.py.
ERASURES = {
    results.ErasureRequest,
    results.ErasureSubject,
    results.ErasurePlan,
    results.ErasureScope,
    results.ErasureVerdict,
    results.ScopedModel,
    results.Stamp,
    results.Unreached,
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    made = Registry.create(tmp_path_factory.mktemp("registry"), actor="tester")
    base = trained()
    made.add("base", state(base), labels=LABELS, trained_on=TRAINED_ON)
    made.add(
        "child",
        state(trained(100, start=base)),
        labels=LABELS,
        parents={"base": Relation("transfer", frozen=["body"])},
        trained_on="insects",
    )
    made.add("merged", state(base), labels=LABELS, parents={"base": "merged=0.25", "child": "merged"}, trained_on="insects")
    return made


def test_every_result_is_what_its_class_says(registry, tmp_path):
    def of(value, wanted):
        check(value, wanted, getattr(wanted, "__name__", str(wanted)))
        return value

    everything = data()
    plan = of(registry.plan(classes="cat", initial="base"), results.Plan)
    assert "base@1" in of(plan.training_data, typing.List[str])
    of(plan.forget_data, typing.List[str])
    of(plan.fallback_cards, typing.Dict[str, str])
    assert registry.plan(source="zoo").request.source == "zoo"
    of(registry.plan(samples=["sample-1"], initial="base"), results.Plan)
    shards = of(registry.plan(classes="cat", initial="base", shards=2), results.Plan).shards
    assert [shard.shard for shard in shards] == ["1/2", "2/2"] and all(shard.cost > 0 for shard in shards)
    would = registry.unlearn(classes="cat", initial="base", data=everything, depth="features", dry_run=True, progress=False)
    inner = of(would.models[0].inner, results.InnerEdit)
    assert inner.basis == "none" and inner.layer is None and "below its head" in inner.outputs_only
    assert any("outputs were edited" in warning for warning in would.warnings)
    person = [f"sample-{n}" for n in range(12)]
    would = registry.unlearn(samples=person, initial="base", data=everything, dry_run=True, progress=False)
    matched = of(would.models[0].matched, results.MatchedSamples)
    assert matched.forgotten == 12 and matched.head_only and matched.carried is None
    beside = of(registry.verify(everything, models="base", samples=person, progress=False), typing.List[results.Verdict])
    assert beside[0].samples.weakest.id in person
    with pytest.raises(LosesTooMuch) as refused:
        registry.unlearn(classes="cat", initial="base", data=everything, alpha=0.0, lambda_=0.0, progress=False)
    assert of(refused.value.models, typing.List[results.ModelLoss])[0].loss.loss > refused.value.bound.target
    shard = of(
        registry.unlearn_shard("1/2", classes="cat", initial="base", data=everything, progress=False), results.ShardDone
    )
    assert shard.models == shards[0].models and (shard.edited, shard.taken_up) == (len(shard.models), 0)
    done = of(registry.unlearn(classes="cat", initial="base", data=everything, progress=False), results.Unlearned)
    assert done.request == shard.request
    outcome = done.models[0]
    assert outcome.inner.layer is None and "nothing here runs its network" in outcome.inner.outputs_only
    assert outcome.changed > 0 and outcome.choice.curve and outcome.choice.alpha == outcome.alpha
    verdicts = of(registry.verify(everything, progress=False), typing.List[results.Verdict])
    assert all(verdict.passed for verdict in verdicts)
    assert all(verdict.judgement == "outputs" and verdict.inside is None for verdict in verdicts)
    inside = of(registry.verify(everything, deep=True, progress=False), typing.List[results.Verdict])
    # Of a head alone nothing says what a model without the class would be like.
    assert all(verdict.judgement == "outputs" and verdict.inside.reference is None for verdict in inside)
    assert all(verdict.inside.probe.count == 3 and verdict.inside.findings for verdict in inside)
    models = of(registry.models(), typing.List[results.Model])
    assert models[0].training == [TRAINED_ON]
    graph = of(registry.graph(), results.Graph)
    assert [edge.relation for edge in graph.parents("child@1")] == [Relation("transfer", frozen=["body"])]
    assert [edge.relation.weight for edge in graph.parents("merged@1")] == [0.25, None]
    assert Relation("unlearned_from", request=done.request) in [edge.relation for edge in graph.edges]
    details = of(registry.show("child"), results.ModelDetails)
    assert details.manifest.tensors["body"].shape == [4, 4] and details.model.id == "child@2"
    log = of(registry.log(), typing.List[results.Operation])
    assert log[-1].actor == "tester" and ("child@2", details.model.digest) in log[-1].changes.models
    would = of(registry.purge("child@1", reason="a test", dry_run=True), results.Purged)
    assert would.operation is None and would.models[0][0] == "child@1" and would.shared > 0
    purged = registry.purge(["child@1"], reason="a test")
    assert purged.operation is not None and purged.objects == would.objects
    assert {model.id: model.state for model in registry.models()}["child@1"] == "purged"
    of(registry.collect_garbage(dry_run=True), results.Garbage)
    packed = of(registry.pack(), results.Packed)
    assert packed.objects >= 8 and packed.packs == 1 and registry.pack().objects == 0
    health = of(registry.check(), results.Health)
    assert health.is_sound and health.operations == len(registry.log())
    alone = registry.umig()
    assert of(alone.models(), typing.List[results.Vertex])[0].training == [TRAINED_ON]
    assert of(alone.scope(classes="ant", initial="merged@2"), results.Scope).initial == ["merged@2"]
    new_key(tmp_path / "key.pem")
    issued = of(registry.certify(tmp_path / "proof.json", tmp_path / "key.pem", data=everything, progress=False), results.Certificate)
    read = of(verify_certificate(tmp_path / "proof.json", tmp_path / "key.pem.pub", registry=registry), results.CertificateCheck)
    assert read.is_sound and read.certificate == issued and issued.request == done.request
    # Nothing in `results` is left that no method gives back, but what this family has no use for.
    named = {getattr(results, name) for name in results.__all__} - {results.Record}
    unused = {results.LogitSuppression, results.Damage, results.RetiredModel, results.Undone}
    assert named - seen <= unused | IMPORTED | REFERENCES | ERASURES


def test_results_are_compared_by_value(registry):
    assert registry.models() == registry.models() and registry.graph() == registry.graph()
    assert registry.models()[0] != registry.models()[1]
    assert repr(registry.models()[0]).startswith("Model(id='base@1', name='base', version=1")


def test_an_operation_is_undone_and_damage_is_found(tmp_path):
    registry = Registry.create(tmp_path)
    registry.add("a", state(trained(5)), labels=LABELS)
    registry.add("b", state(trained(6)), labels=LABELS, parents="a")
    undone = registry.undo(2)
    check(undone, results.Undone, "undone")
    assert undone.removed == ["b@1"] and [model.id for model in registry.models()] == ["a@1"]
    whole = Registry.create(tmp_path / "other")
    whole.add("a", state(trained(5)), labels=LABELS)
    digest = registry.show("a").manifest.tensors["fc.weight"].digest
    (file,) = [path for path in tmp_path.rglob(f"*{digest[4:]}*") if "other" not in path.parts]
    file.write_bytes(b"?" * file.stat().st_size)
    health = registry.check()
    check(health, results.Health, "health")
    assert not health.is_sound and health.damages[0].models == ["a@1"]
    assert registry.check(repair=True, source=whole).is_sound and registry.check().is_sound


def test_suppression_is_in_the_choice():
    # Features that say nothing: no alpha makes the label go without the others.
    registry, chance = Registry.memory(), np.random.default_rng(0)
    weight = chance.normal(size=(3, 8)).astype(np.float32) * 1e-3
    registry.add("a", {"fc.weight": weight, "fc.bias": np.float32([0, 0, 5])}, labels=LABELS, trained_on="insects")
    done = registry.unlearn(classes="cat", data=data(), progress=False)
    suppression = done.models[0].choice.suppression
    check(suppression, results.LogitSuppression, "suppression")
    assert suppression.rows == [2] and suppression.part == "bias" and suppression.by > 0


def filled():
    """The fields that the compiled part fills of each class, by its source."""
    for file in (Path(__file__).parent.parent / "rust").rglob("*.rs"):
        for made in re.finditer(r'record!\(\s*\w+,\s*"(\w+)"\s*\{', file.read_text()):
            rest = made.string[made.end() :]
            depth, end = 1, 0
            while depth:
                depth += {"{": 1, "}": -1}.get(rest[end], 0)
                end += 1
            # What stands within brackets of any kind are values.
            fields = rest[: end - 1]
            while (plain := re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}", "", fields)) != fields:
                fields = plain
            yield made.group(1), set(re.findall(r"(?:^|,)\s*(\w+):(?!:)", fields))


def test_every_class_has_the_fields_that_are_filled():
    by_class = list(filled())
    assert len(by_class) > 40
    for name, fields in by_class:
        known = {field.name for field in dataclasses.fields(getattr(results, name))}
        assert fields == known, name
