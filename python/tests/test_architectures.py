"""Classifiers as `transformers` makes and saves them, whatever their inside: heads of many names and places."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit import torch as dt  # noqa: E402

LABELS = ["ant", "bee", "cat", "dog"]
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
TEXT = dict(SMALL, vocab_size=200, pad_token_id=0, bos_token_id=1, eos_token_id=2)
IMAGE = dict(SMALL, image_size=32, patch_size=8)
STAGES = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
SEQUENCE, PICTURE = "ForSequenceClassification", "ForImageClassification"
KINDS = {
    "DistilBert" + SEQUENCE: dict(dim=32, n_layers=2, n_heads=2, hidden_dim=64, vocab_size=200),
    "Roberta" + SEQUENCE: TEXT,
    "Electra" + SEQUENCE: dict(TEXT, embedding_size=32),
    "DebertaV2" + SEQUENCE: TEXT,
    "Albert" + SEQUENCE: dict(TEXT, embedding_size=16),
    "XLNet" + SEQUENCE: dict(vocab_size=200, d_model=32, n_layer=2, n_head=2, d_inner=64),
    "GPT2" + SEQUENCE: dict(vocab_size=200, n_embd=32, n_layer=2, n_head=2, pad_token_id=0),
    "Llama" + SEQUENCE: dict(TEXT, num_key_value_heads=2),
    "Qwen2" + SEQUENCE: dict(TEXT, num_key_value_heads=2),
    "BertForTokenClassification": TEXT,
    "ViT" + PICTURE: IMAGE,
    "Beit" + PICTURE: IMAGE,
    "Dinov2" + PICTURE: IMAGE,
    "Swin" + PICTURE: dict(image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4),
    "ResNet" + PICTURE: dict(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic"),
    "ConvNext" + PICTURE: STAGES,
    "RegNet" + PICTURE: dict(STAGES, embedding_size=8, groups_width=8),
    "Wav2Vec2" + SEQUENCE: dict(
        SMALL,
        classifier_proj_size=16,
        conv_dim=(16, 16),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_feat_extract_layers=2,
    ),
}


def made(kind, options):
    found = getattr(transformers, kind, None)
    if found is None:
        pytest.skip(f"this version of transformers has no {kind}")
    names = dict(enumerate(LABELS))
    torch.manual_seed(0)
    return found(found.config_class(**options, id2label=names, label2id={v: k for k, v in names.items()})).eval()


def batches(kind, count=48):
    """Samples that tell four labels apart: tokens, images or sounds with a pattern each."""
    chance = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % len(LABELS)
    if PICTURE in kind or "Wav2Vec2" in kind:
        name, shape = ("pixel_values", (3, 32, 32)) if PICTURE in kind else ("input_values", (400,))
        patterns = 2 * torch.randn(len(LABELS), *shape, generator=chance)
        inputs = {name: patterns[labels] + 0.1 * torch.randn(count, *shape, generator=chance)}
    else:
        tokens = 20 + 40 * labels[:, None] + torch.randint(0, 5, (count, 12), generator=chance)
        inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if "Token" in kind:
        labels = torch.where(torch.arange(12) > 0, labels[:, None], -100)
    rows = [{**{name: value[n] for name, value in inputs.items()}, "labels": labels[n]} for n in range(count)]
    return DataLoader(rows, batch_size=16)


def learn(model, seen):
    """Fits the head to what goes into it."""
    head = model.get_submodule(seen.head)
    features, labels = torch.tensor(seen.features), torch.tensor(seen.labels)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features), labels).backward()
        optimizer.step()


def answers(model, loader):
    """What the model itself says, and what is right."""
    found, wanted = [], []
    with torch.no_grad():
        for batch in loader:
            labels = batch["labels"].flatten()
            known = labels >= 0
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            found.append(model(**inputs).logits.flatten(0, -2).argmax(-1)[known])
            wanted.append(labels[known])
    return torch.cat(found).numpy(), torch.cat(wanted).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_comes_in_forgets_and_goes_back(tmp_path, kind):
    model, loader = made(kind, KINDS[kind]), batches(kind)
    learn(model, dt.capture(model, loader, labels=LABELS))
    found, wanted = answers(model, loader)
    assert (found == wanted)[wanted == 2].mean() > 0.7

    model.save_pretrained(tmp_path / "saved")
    registry = Registry.create(tmp_path / "registry")
    registry.add("model", tmp_path / "saved", trained_on="captured")
    registry.export("model", tmp_path / "back")
    weights = "model.safetensors"
    assert (tmp_path / "back" / weights).read_bytes() == (tmp_path / "saved" / weights).read_bytes()

    seen = dt.capture(model, loader, labels=LABELS)
    assert seen.head == registry.show("model").manifest.head
    registry.unlearn(classes="cat", data=dt.data_from(seen, "captured"), progress=False)
    registry.export("model", tmp_path / "forgot")
    other = type(model).from_pretrained(tmp_path / "forgot").eval()
    done = dt.forget(model, seen, classes="cat")
    for forgot in (model, other):
        after, _ = answers(forgot, loader)
        assert not (after == wanted)[wanted == 2].any()
        assert (after == wanted)[wanted != 2].mean() >= (found == wanted)[wanted != 2].mean() - 0.05
    assert done.verdict.passed
    assert np.array_equal(*(answers(m, loader)[0] for m in (model, other)))


def test_the_mean_of_two_heads_is_not_taken_for_one(tmp_path):
    model, loader = made("DeiTForImageClassificationWithTeacher", IMAGE), batches("DeiT" + PICTURE)
    with pytest.raises(DisinheritError, match="output is not what its head"):
        dt.capture(model, loader, labels=LABELS)
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(DisinheritError, match="several linear layers may be the head"):
        Registry.memory().add("model", tmp_path / "saved")
