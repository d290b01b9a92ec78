"""The peers of the benchmarks `forward` and `sequences`: torchvision's networks on 224x224 images and Hugging Face's
BERT on 128 tokens, samples a second on one line.

    python3 networks.py forward|onnx|func|train NETWORK BATCH THREADS

`forward` is PyTorch in evaluation mode; `onnx` is ONNX Runtime on the same network, exported from PyTorch; `func` is
the mean of squared per-sample gradients by `torch.func`; `train` is a training step by SGD with momentum. NETWORK is
alexnet, vgg-16, densenet-161, vit-b-32, bert-tiny or bert-base.
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

CLASSES, SIDE, TOKENS, VOCABULARY = 10, 224, 128, 30522
TORCHVISION = {"alexnet": "alexnet", "vgg-16": "vgg16", "densenet-161": "densenet161", "vit-b-32": "vit_b_32"}
BERT = {"bert-tiny": (2, 2, 128, 512), "bert-base": (12, 12, 768, 3072)}
# The best round of this many seconds, and of three at least.
SECONDS = 6


def network(name, mode):
    """A fresh network."""
    if name in TORCHVISION:
        import torchvision

        return getattr(torchvision.models, TORCHVISION[name])(num_classes=CLASSES)
    import transformers

    layers, heads, size, hidden = BERT[name]
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=size,
        intermediate_size=hidden,
        num_labels=CLASSES,
        # As the networks that it is compared with: dropout before the head alone.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.1,
    )
    # Export and `vmap` bear no choice that depends on values: transformers looks whether a mask hides anything.
    return Logits(transformers.BertForSequenceClassification(config), plain=mode in ("onnx", "func"))


class Logits(torch.nn.Module):
    """BERT from tokens and a mask to logits. A `plain` mask is made ready here, else by transformers."""

    def __init__(self, bert, plain):
        super().__init__()
        self.bert, self.plain = bert, plain

    def forward(self, tokens, mask):
        if self.plain:
            mask = (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        return self.bert(input_ids=tokens, attention_mask=mask).logits


def samples(name, batch):
    """What a network reads, and labels."""
    labels = torch.randint(0, CLASSES, (batch,))
    if name in TORCHVISION:
        return (torch.rand(batch, 3, SIDE, SIDE),), labels
    return (torch.randint(1, VOCABULARY, (batch, TOKENS)), torch.ones(batch, TOKENS, dtype=torch.long)), labels


def forward(model, inputs, _labels, _threads):
    model.eval()

    def step():
        with torch.no_grad():
            model(*inputs)

    return step


def train(model, inputs, labels, _threads):
    model.train()
    loss_of = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        loss_of(model(*inputs), labels).backward()
        optimizer.step()

    return step


def func(model, inputs, labels, _threads):
    model.eval()
    loss_of = torch.nn.CrossEntropyLoss()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(parameters, sample, label):
        one = tuple(part[None] for part in sample)
        return loss_of(torch.func.functional_call(model, (parameters, buffers), one), label[None])

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def step():
        for gradient in gradients(parameters, inputs, labels).values():
            gradient.square().mean(0)

    return step


def onnx(model, inputs, _labels, threads):
    import onnxruntime

    model.eval()
    # The exporter knows no operation that is a whole attention layer.
    torch.backends.mha.set_fastpath_enabled(False)
    names = ["images"] if len(inputs) == 1 else ["tokens", "mask"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "network.onnx"))
        with torch.no_grad():
            torch.onnx.export(model, inputs, path, input_names=names, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {name: part.numpy() for name, part in zip(names, inputs)}
    return lambda: session.run(None, given)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    mode, name, batch, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    made, (read, labels) = network(name, mode), samples(name, batch)
    step = {"forward": forward, "onnx": onnx, "func": func, "train": train}[mode](made, read, labels, threads)
    step()
    best, end, rounds = float("inf"), time.perf_counter() + SECONDS, 0
    while rounds < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        best, rounds = min(best, time.perf_counter() - start), rounds + 1
    print(batch / best)
