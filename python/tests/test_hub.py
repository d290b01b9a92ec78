"""Folders as `transformers` writes them."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from disinherit import DisinheritError, Registry  # noqa: E402

LABELS = ["ham", "spam", "eggs"]


def save(folder, **changes):
    torch.manual_seed(0)
    about = dict(
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        vocab_size=200,
        id2label=dict(enumerate(LABELS)),
        label2id={name: row for row, name in enumerate(LABELS)},
    )
    config = transformers.BertConfig(**{**about, **changes})
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    return model


def test_a_known_network_is_told_by_its_configuration(tmp_path):
    save(tmp_path / "tiny")
    registry = Registry.create(tmp_path / "registry")
    registry.add("tiny", tmp_path / "tiny")
    manifest = registry.show("tiny").manifest
    assert manifest.architecture["kind"] == "bert-tiny"
    assert manifest.labels == LABELS and manifest.head == "classifier"
    registry.export("tiny", tmp_path / "back")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "tiny" / name).read_bytes()
    again = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "back")
    assert again.config.id2label[2] == "eggs"


def test_any_other_is_its_head(tmp_path):
    save(tmp_path / "odd", num_hidden_layers=1)
    registry = Registry.create(tmp_path / "registry")
    registry.add("odd", tmp_path / "odd")
    architecture = registry.show("odd").manifest.architecture
    assert (architecture["kind"], architecture["input"]) == ("head", {"features": 128})


def test_shards_are_read_and_given_back(tmp_path):
    model = save(tmp_path / "whole")
    model.save_pretrained(tmp_path / "shards", max_shard_size="500KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    registry = Registry.create(tmp_path / "registry")
    registry.add("model", tmp_path / "shards")
    registry.export("model", tmp_path / "back")
    for file in (tmp_path / "shards").iterdir():
        assert (tmp_path / "back" / file.name).read_bytes() == file.read_bytes()
    weight, _ = registry.head("model")
    assert np.array_equal(weight, model.classifier.weight.detach().numpy())
    next((tmp_path / "shards").glob("*.safetensors")).unlink()
    with pytest.raises(DisinheritError, match="shards are missing"):
        registry.add("model", tmp_path / "shards")


def test_label_maps_that_contradict_each_other_are_refused(tmp_path):
    save(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    config["label2id"] = {"ham": 1, "spam": 0, "eggs": 2}
    file.write_text(json.dumps(config))
    registry = Registry.create(tmp_path / "registry")
    with pytest.raises(DisinheritError, match="contradict each other"):
        registry.add("model", tmp_path / "model")
    assert registry.add("model", tmp_path / "model", labels=LABELS) == "model@1"
