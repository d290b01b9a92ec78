"""Adapters that forget below their heads: the edit is folded into low-rank updates, or the network is merged."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
from torch.utils.data import DataLoader  # noqa: E402

from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit import torch as dt  # noqa: E402
from disinherit.peft import fold, forget, merged  # noqa: E402
from test_architectures import LABELS, TEXT, answers, batches, made  # noqa: E402

KIND = "BertForSequenceClassification"
#: The layer that an edit of the features changes in BERT.
POOLER = "bert.pooler.dense"


def base_model():
    return made(KIND, TEXT)


@pytest.fixture(scope="module")
def base():
    return train(base_model(), loaders()[0], 8)


def base_copy(base):
    copy = base_model()
    copy.load_state_dict(base.state_dict())
    return copy


def train(model, loader, steps=60):
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    model.train()
    for _ in range(steps):
        for batch in loader:
            optimizer.zero_grad()
            model(**batch).loss.backward()
            optimizer.step()
    return model.eval()


def adapted(base, loader, targets=("query", "value", "dense"), **options):
    torch.manual_seed(1)
    config = peft.LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=list(targets), **options)
    return train(peft.get_peft_model(base_copy(base), config), loader, 6)


def loaders():
    # The same patterns, other samples.
    whole = batches(KIND, 240).dataset
    return DataLoader(whole[:160], batch_size=32), DataLoader(whole[160:], batch_size=32)


def features(model, loader):
    found = []
    with torch.no_grad():
        for batch in loader:
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            found.append(model.bert(**inputs).pooler_output)
    return torch.cat(found)


def base_of(model):
    return model.get_base_model() if isinstance(model, peft.PeftModel) else model


def check(done, base, before, loader, folder):
    """Saved and loaded again it has forgotten, and is the edit as it was computed."""
    done.model.save_pretrained(folder)
    again = peft.PeftModel.from_pretrained(base_copy(base), folder).eval()
    was, wanted = answers(before, loader)
    now, _ = answers(again, loader)
    assert (was == wanted)[wanted == 2].mean() > 0.9
    assert not (now == wanted)[wanted == 2].any()
    assert (now == wanted)[wanted != 2].mean() >= (was == wanted)[wanted != 2].mean() - 0.05
    return again


@pytest.mark.parametrize("targets", [("query", "value", "dense"), ("query", "value")])
def test_the_edit_below_the_head_is_in_the_adapter(tmp_path, base, targets):
    loader, test = loaders()
    model = adapted(base, loader, targets)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    done = forget(model, loader, labels=LABELS, classes="cat", heldout=test)
    assert done.forgotten.inner.layer == f"{POOLER}.weight" and done.forgotten.verdict.passed
    assert done.kind == "adapter", done.reason
    [layer] = done.layers
    assert layer.name == POOLER and layer.rank_before == (4 if "dense" in targets else 0) and layer.rank_after >= 1
    assert done.difference <= 1e-3
    # What it was made from is as it was.
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())

    again = check(done, base, model, test, tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["r"] == 4
    # Its features are those of the edit that was not folded, and others than before.
    whole = base_model()
    whole.load_state_dict(merged(model))
    dt.forget(whole, dt.capture(whole, loader, labels=LABELS, heldout=test), classes="cat", loader=loader, heldout=test)
    wanted, got, was = features(whole, test), features(base_of(again), test), features(base_of(model), test)
    moved = (wanted - was).norm()
    assert (got - wanted).norm() < 0.05 * moved and moved > 0.01 * was.norm()


def test_what_no_adapter_holds_is_merged(tmp_path, base):
    loader, test = loaders()
    model = adapted(base, loader, ("query", "value"), use_dora=True)
    done = forget(model, loader, labels=LABELS, classes="cat", heldout=test)
    assert done.kind == "merged" and "DoRA" in done.reason and done.layers == []
    done.model.save_pretrained(tmp_path / "whole")
    again = type(base_model()).from_pretrained(tmp_path / "whole").eval()
    now, wanted = answers(again, test)
    assert not (now == wanted)[wanted == 2].any() and (now == wanted)[wanted != 2].mean() > 0.9
    # A tolerance that nothing meets.
    done = forget(adapted(base, loader), loader, labels=LABELS, classes="cat", tolerance=0.0)
    assert done.kind == "merged" and "at every rank" in done.reason


def test_adapters_of_a_registry_are_folded_on_their_edited_base(tmp_path, base):
    loader, test = loaders()
    model = adapted(base, loader, ("query", "dense"))
    registry = Registry.create(tmp_path / "registry")
    registry.add("base", base, labels=LABELS, trained_on="words")
    registry.add("clinic", merged(model), labels=LABELS, parents={"base": "adapter"}, trained_on="words")
    tensors = {name: registry.show(name).manifest.tensors for name in ("base", "clinic")}
    # What the adapter does not change is kept once.
    same = [name for name, info in tensors["base"].items() if tensors["clinic"][name].digest == info.digest]
    assert "bert.embeddings.word_embeddings.weight" in same and "classifier.weight" not in same
    data = dt.samples(base_copy(base), loader, labels=LABELS, heldout=test, name="words")
    done = registry.unlearn(classes="cat", data=data, progress=False)
    assert {outcome.after: outcome.inner.layer for outcome in done.models}["clinic@2"] == f"{POOLER}.weight"

    new = base_copy(base)
    dt.load(registry, "base", new)
    model.save_pretrained(tmp_path / "old")
    on_new = peft.PeftModel.from_pretrained(new, tmp_path / "old")
    folded = fold(registry, "clinic", on_new, loader)
    assert folded.kind == "adapter", folded.reason
    folded.model.save_pretrained(tmp_path / "new")
    again_base = base_copy(base)
    dt.load(registry, "base", again_base)
    again = peft.PeftModel.from_pretrained(again_base, tmp_path / "new").eval()
    whole = base_copy(base)
    dt.load(registry, "clinic", whole)
    assert np.array_equal(answers(again, test)[0], answers(whole, test)[0])
    now, wanted = answers(again, test)
    assert not (now == wanted)[wanted == 2].any()
    with pytest.raises(DisinheritError, match="PeftModel"):
        merged(base)
