"""Adapters as PEFT makes and saves them: descendants of one base model, each with a head of its own."""

import copy

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

from disinherit import Registry  # noqa: E402
from disinherit import torch as dt  # noqa: E402
from test_architectures import LABELS, TEXT, answers, batches, learn, made  # noqa: E402

KIND = "BertForSequenceClassification"


def base_model():
    return made(KIND, TEXT)


def adapted(seed):
    torch.manual_seed(seed)
    options = peft.LoraConfig(
        task_type="SEQ_CLS", r=4, target_modules=["query", "value"], init_lora_weights=False
    )
    return peft.get_peft_model(base_model(), options).eval()


def test_a_base_and_its_adapters_forget_and_come_back(tmp_path):
    loader = batches(KIND)
    models = {"base": base_model(), "first": adapted(1), "second": adapted(2)}
    registry, seen = Registry.create(tmp_path / "registry"), {}
    for name, model in models.items():
        learn(model, dt.capture(model, loader, labels=LABELS))
        seen[name] = dt.capture(model, loader, labels=LABELS)
        model.save_pretrained(tmp_path / name)
        parents = {} if name == "base" else {"base": "adapter"}
        registry.add(name, tmp_path / name, labels=LABELS, parents=parents, trained_on="captured")
    registry.unlearn(classes="cat", initial="base", data=dt.data_from(seen, "captured"), progress=False)
    for name, model in models.items():
        before, wanted = answers(model, loader)
        registry.export(name, tmp_path / "back" / name)
        if name == "base":
            again = type(model).from_pretrained(tmp_path / "back" / name)
        else:
            again = peft.PeftModel.from_pretrained(base_model(), tmp_path / "back" / name)
        after, _ = answers(again.eval(), loader)
        assert (before == wanted)[wanted == 2].mean() > 0.7, name
        assert not (after == wanted)[wanted == 2].any(), name
        assert (after == wanted)[wanted != 2].mean() >= (before == wanted)[wanted != 2].mean() - 0.05, name


def test_an_adapted_module_forgets_in_place():
    model, loader = adapted(3), batches(KIND)
    learn(model, dt.capture(model, loader, labels=LABELS))
    kept = copy.deepcopy(model.state_dict())
    done = dt.forget(model, dt.capture(model, loader, labels=LABELS), classes="cat")
    after, wanted = answers(model, loader)
    assert done.verdict.passed and not (after == wanted)[wanted == 2].any()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, kept[name])}
    assert changed and all("classifier.modules_to_save" in name for name in changed)
