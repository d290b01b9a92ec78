"""Small networks of the kinds that people use, each with its penultimate layer, trained on samples that are easy to tell
apart."""

import copy
from typing import NamedTuple

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

LABELS = ["ant", "bee", "cat", "dog", "elk"]
GONE = 2
SIDE, LENGTH, WORDS = 16, 12, 40


class PlainCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.2),
            nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.fc = nn.Linear(24, len(LABELS))

    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))


class Mlp(nn.Module):
    """Its last layer's weight is a parameter that it uses itself."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(SIDE * SIDE, 48)
        self.weight, self.bias = nn.Parameter(torch.randn(32, 48) / 7), nn.Parameter(torch.zeros(32))
        self.drop, self.fc = nn.Dropout(0.1), nn.Linear(32, len(LABELS))

    def forward(self, x):
        hidden = nn.functional.linear(torch.relu(self.first(x.flatten(1))), self.weight, bias=self.bias)
        return self.fc(torch.tanh(self.drop(hidden)))


class BasicBlock(nn.Module):
    """As torchvision's."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        # The shortcut's convolution runs last.
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, stride, 1, bias=False), nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, block, blocks=2):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        layers = [block(8, 24, 2), *(block(24, 24, 1) for _ in range(blocks - 1))]
        self.layer = nn.Sequential(*layers)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(24, len(LABELS))

    def forward(self, x):
        x = self.layer(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Squeezed(nn.Module):
    """Its last convolution's channels are weighed by a layer that runs later."""

    def __init__(self):
        super().__init__()
        self.first, self.conv = nn.Conv2d(1, 8, 3, 2), nn.Conv2d(8, 24, 3, bias=False)
        self.bn, self.gate = nn.BatchNorm2d(24), nn.Linear(24, 24)
        self.fc = nn.Linear(24, len(LABELS))

    def forward(self, x):
        x = self.bn(self.conv(self.first(x).relu()))
        weights = torch.sigmoid(self.gate(x.mean((2, 3))))
        return self.fc((x * weights[:, :, None, None]).relu().mean((2, 3)))


class TextCnn(nn.Module):
    """Windows that are no squares."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(WORDS, 16)
        self.convs = nn.ModuleList([nn.Conv1d(16, 12, size, dilation=size - 1, padding="same") for size in (2, 3)])
        self.fc = nn.Linear(24, len(LABELS))

    def forward(self, tokens):
        x = self.embed(tokens).transpose(1, 2)
        return self.fc(torch.cat([torch.relu(conv(x)).amax(-1) for conv in self.convs], 1))


class SequenceFirst(nn.Module):
    """A transformer whose samples are along the second axis; the last position is the features."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(WORDS, 24)
        block = nn.TransformerEncoderLayer(24, 2, 32, norm_first=True)
        self.encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm, self.fc = nn.LayerNorm(24), nn.Linear(24, len(LABELS))

    def forward(self, tokens):
        return self.fc(self.norm(self.encoder(self.embed(tokens).transpose(0, 1)))[-1])


def hugging_face(kind, **options):
    transformers = pytest.importorskip("transformers")
    found = getattr(transformers, kind)
    return found(found.config_class(num_labels=len(LABELS), **options))


SMALL = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
TEXT = dict(SMALL, vocab_size=WORDS, max_position_embeddings=LENGTH + 4, pad_token_id=0)
IMAGE = dict(image_size=SIDE, num_channels=1)
SEQUENCE, PICTURE = "ForSequenceClassification", "ForImageClassification"


class Kind(NamedTuple):
    make: object
    #: `images` or `texts`.
    data: str
    #: A pattern of the name of the weight that is edited.
    weight: str
    #: Where the stream is to be seen in a pass: what goes into a module, or what comes out.
    stream: tuple
    #: Its channels' axis.
    channel: int = -1
    #: The position of each sample that the features depend on, where it is one of many.
    position: object = None
    steps: int = 60


KINDS = {
    "plain CNN": Kind(PlainCnn, "images", "body.7.weight", ("in", "body.8"), 1),
    "MLP": Kind(Mlp, "images", "weight", ("in", "drop")),
    "basic blocks": Kind(lambda: ResNet(BasicBlock), "images", "layer.1.conv2.weight", ("in", "layer.1.relu"), 1),
    "one block": Kind(lambda: ResNet(BasicBlock, 1), "images", "layer.0.conv2.weight", ("in", "layer.0.relu"), 1),
    "bottlenecks": Kind(lambda: ResNet(Bottleneck), "images", "layer.1.conv3.weight", ("in", "layer.1.relu"), 1),
    "squeeze": Kind(Squeezed, "images", "conv.weight", ("out", "bn"), 1),
    "text CNN": Kind(TextCnn, "texts", "convs.1.weight", ("out", "convs.1"), 1),
    "sequence first": Kind(SequenceFirst, "texts", "encoder.layers.1.linear2.weight", ("in", "norm"), position=lambda stream: stream[-1]),
    "ViT": Kind(
        lambda: hugging_face("ViT" + PICTURE, **SMALL, **IMAGE, patch_size=4),
        "images", "vit.*layer*.1.*.weight", ("in", "vit.layernorm"), position=lambda stream: stream[:, 0],
    ),
    "Swin": Kind(
        lambda: hugging_face("Swin" + PICTURE, **IMAGE, patch_size=2, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4),
        "images", "swin.encoder.layers.1.blocks.0.*.weight", ("in", "swin.layernorm"),
    ),
    "ConvNeXt": Kind(
        lambda: hugging_face(
            "ConvNext" + PICTURE, **IMAGE, patch_size=2, num_stages=2, hidden_sizes=[12, 24], depths=[1, 1], layer_scale_init_value=0.5
        ),
        "images", "convnext.encoder.stages.1.layers.0.pwconv2.weight", ("out", "convnext.encoder.stages.1.layers.0"), 1,
    ),
    "BERT": Kind(lambda: hugging_face("Bert" + SEQUENCE, **TEXT), "texts", "bert.pooler.dense.weight", ("out", "bert.pooler.dense")),
    "RoBERTa": Kind(lambda: hugging_face("Roberta" + SEQUENCE, **TEXT), "texts", "classifier.dense.weight", ("out", "classifier.dense")),
    "DistilBERT": Kind(
        lambda: hugging_face("DistilBert" + SEQUENCE, vocab_size=WORDS, dim=24, n_layers=2, n_heads=2, hidden_dim=48),
        "texts", "pre_classifier.weight", ("out", "pre_classifier"),
    ),
    "Llama": Kind(
        lambda: hugging_face("Llama" + SEQUENCE, **TEXT, num_key_value_heads=2),
        "texts", "model.layers.1.mlp.down_proj.weight", ("in", "model.norm"), position=lambda stream: stream[:, -1],
    ),
    "GPT-2": Kind(
        lambda: hugging_face(
            "GPT2" + SEQUENCE, vocab_size=WORDS, n_positions=LENGTH, n_embd=24, n_layer=2, n_head=2, pad_token_id=0,
            bos_token_id=0, eos_token_id=0,
        ),
        "texts", "transformer.h.1.mlp.c_proj.weight", ("in", "transformer.ln_f"), position=lambda stream: stream[:, -1],
    ),
}  # fmt: skip


def inputs_of(data, count=300, seed=1):
    """Samples with a pattern for each label, and noise."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(LABELS)
    if data == "images":
        patterns = torch.randn(len(LABELS), 1, 4, 4, generator=torch.Generator().manual_seed(9))
        patterns = nn.functional.interpolate(patterns, size=(SIDE, SIDE), mode="bilinear")
        return 1.2 * patterns[labels] + torch.randn(count, 1, SIDE, SIDE, generator=chance), labels
    tokens = 1 + 7 * labels[:, None] + torch.randint(0, 7, (count, LENGTH), generator=chance)
    strange = torch.rand(count, LENGTH, generator=chance) < 0.5
    return torch.where(strange, torch.randint(1, WORDS, (count, LENGTH), generator=chance), tokens), labels


def is_of_hugging_face(model):
    return type(model).__module__.startswith("transformers")


def loader(model, data, seed=1, size=64, **options):
    inputs, labels = inputs_of(data, seed=seed)
    if not is_of_hugging_face(model):
        return DataLoader(TensorDataset(inputs, labels), size, **options)
    name = "pixel_values" if data == "images" else "input_ids"
    return DataLoader([{name: x, "labels": y} for x, y in zip(inputs, labels)], size, **options)


def logits(model, inputs):
    made = model(inputs)
    return getattr(made, "logits", made)


_TRAINED = {}


def trained(name):
    """A copy of a trained network of a kind."""
    kind = KINDS[name]
    if name not in _TRAINED:
        torch.manual_seed(0)
        model = kind.make().train()
        inputs, labels = inputs_of(kind.data)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
        for _ in range(kind.steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits(model, inputs), labels).backward()
            optimizer.step()
        _TRAINED[name] = model.eval()
    return copy.deepcopy(_TRAINED[name])


def accuracies(model, data, seed=2):
    """Of the forgotten class and of the others, on held-out samples."""
    inputs, labels = inputs_of(data, seed=seed)
    with torch.no_grad():
        right = (logits(model.eval(), inputs).argmax(1) == labels).float()
    return right[labels == GONE].mean().item(), right[labels != GONE].mean().item()
