"""Train the models of a recipe in PyTorch, where the studies' own training is too slow or a GPU is at hand.

    disinherit grow fl-cifar10-resnet20 --data cifar10/ --seed 1 --write-trainings trained/
    python train_recipe.py trained/seed-1 --data cifar10/ --device cuda
    disinherit reproduce fl --recipe fl-cifar10-resnet20 --data cifar10/ --seeds 1 --trained trained/

``trainings.json`` lists what every model is trained on and how; a checkpoint of each goes beside it, and
``trained.json`` says how long that took. Checkpoints that are there already are kept. Needs torch, numpy, pyarrow,
pillow and safetensors.
"""

import argparse
import io
import json
import math
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pyarrow.parquet as parquet
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two convolutions and a way around them (He et al., arXiv:1512.03385), with torchvision's names."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.downsample = None
        if stride != 1 or ins != outs:
            self.downsample = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A residual network of basic blocks, as the recipes name them."""

    #: Widths of the stages, blocks of each, whether the stem halves the sides twice.
    KINDS = {
        "resnet-8": ((16, 32, 64), 1, False),
        "resnet-20": ((16, 32, 64), 3, False),
        "resnet-18-32": ((64, 128, 256, 512), 2, False),
        "resnet-18": ((64, 128, 256, 512), 2, True),
    }

    def __init__(self, kind: str, channels: int, classes: int) -> None:
        super().__init__()
        widths, blocks, halves = self.KINDS[kind]
        stem = (7, 2, 3) if halves else (3, 1, 1)
        self.conv1 = nn.Conv2d(channels, widths[0], *stem, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.halves = halves
        ins = widths[0]
        self.stages: List[str] = []
        for at, outs in enumerate(widths):
            layers = []
            for block in range(blocks):
                layers.append(Block(ins, outs, 2 if at > 0 and block == 0 else 1))
                ins = outs
            self.stages.append(f"layer{at + 1}")
            self.add_module(self.stages[-1], nn.Sequential(*layers))
        self.fc = nn.Linear(ins, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        if self.halves:
            x = F.max_pool2d(x, 3, 2, 1)
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(x.mean((2, 3)))


def read(folder: Path) -> Tuple[torch.Tensor, torch.Tensor]:
    """The training images, ``[samples, channels, height, width]`` in bytes, and their labels."""
    images, labels = [], []
    for file in sorted(folder.glob("train*.parquet")):
        table = parquet.read_table(file)
        column = next(name for name in table.column_names if name in ("img", "image"))
        for cell in table.column(column).to_pylist():
            images.append(np.asarray(Image.open(io.BytesIO(cell["bytes"])).convert("RGB")))
        labels.extend(table.column("label").to_pylist())
    if not images:
        raise SystemExit(f"{folder} has no train*.parquet")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def rate(config: Dict[str, Any], done: float) -> float:
    """The learning rate when ``done`` (0 to 1) of a training is over."""
    top, schedule = config["learning_rate"], config["schedule"]
    if schedule == "constant":
        return top
    if schedule == "cosine":
        return top * 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "one_cycle":
        if done < 0.3:
            return top * (1 / 25 + (1 - 1 / 25) * done / 0.3)
        return top * 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7))
    return top * 0.1 ** sum(done >= share for share in schedule["step"])


def moved(images: torch.Tensor, crop: int, flip: bool) -> torch.Tensor:
    """Images padded with black and cut again at random places, half of them mirrored."""
    count, _, height, width = images.shape
    if crop:
        padded = F.pad(images, (crop,) * 4)
        by = torch.randint(0, 2 * crop + 1, (2, count, 1), device=images.device)
        down = by[0] + torch.arange(height, device=images.device)
        right = by[1] + torch.arange(width, device=images.device)
        at = torch.arange(count, device=images.device)[:, None, None]
        images = padded[at, :, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)
    if flip:
        mirror = torch.rand(count, 1, 1, 1, device=images.device) < 0.5
        images = torch.where(mirror, images.flip(3), images)
    return images


class Trainer:
    """One model's training, a step at a time; on a GPU the steps of whole batches are replayed as one graph."""

    #: Whether products and convolutions are computed in bfloat16.
    half = False

    def __init__(self, net: nn.Module, images: torch.Tensor, labels: torch.Tensor, job: Dict[str, Any], shift: Any) -> None:
        self.net, self.images, self.labels, self.config = net, images, labels, job["config"]
        augment = self.config["augment"]
        augment = {True: {"crop": 4, "flip": True}, False: {"crop": 0, "flip": False}}.get(augment, augment) \
            if isinstance(augment, bool) else {"crop": 4, "flip": True, **augment}
        self.augment, (self.scale, self.offset) = augment, shift
        frozen = tuple(job["frozen"])
        named = net.named_parameters()
        self.parameters = [p for name, p in named if not (frozen and name.startswith(frozen))]
        # A frozen norm keeps its statistics.
        self.norms = [m for name, m in net.named_modules() if frozen and f"{name}.weight".startswith(frozen)]
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.rate = torch.zeros((), device=images.device)
        self.batch = torch.zeros(self.config["batch_size"], dtype=torch.long, device=images.device)
        self.graph: Any = None

    def step(self, batch: torch.Tensor) -> None:
        """SGD with momentum and an L2 penalty, as ``torch.optim.SGD`` has them."""
        images = moved(self.images[batch], self.augment["crop"], self.augment["flip"])
        images = images.to(self.scale.dtype).mul(self.scale).add(self.offset)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            out = self.net(images)
        loss = F.cross_entropy(out.float(), self.labels[batch])
        gradients = list(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            torch._foreach_add_(gradients, self.parameters, alpha=self.config["weight_decay"])
            torch._foreach_mul_(self.velocity, self.config["momentum"])
            torch._foreach_add_(self.velocity, gradients)
            torch._foreach_sub_(self.parameters, torch._foreach_mul(self.velocity, self.rate))

    def capture(self) -> None:
        """Records a step; the steps before it, which warm up, are undone."""
        state = {name: value.clone() for name, value in self.net.state_dict().items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step(self.batch)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.step(self.batch)
        self.net.load_state_dict(state)
        for velocity in self.velocity:
            velocity.zero_()

    def run(self, rows: torch.Tensor, seed: int) -> None:
        torch.manual_seed(seed % 2**63)
        self.net.train()
        for module in self.norms:
            module.eval()
        size, epochs = self.config["batch_size"], self.config["epochs"]
        steps = epochs * math.ceil(len(rows) / size)
        if rows.is_cuda and len(rows) >= size:
            self.capture()
        done = 0
        for _ in range(epochs):
            for batch in rows[torch.randperm(len(rows), device=rows.device)].split(size):
                self.rate.fill_(rate(self.config, done / steps))
                if self.graph is not None and len(batch) == size:
                    self.batch.copy_(batch)
                    self.graph.replay()
                elif len(batch) > 1:
                    self.step(batch)
                done += 1


def average(states: List[Dict[str, torch.Tensor]]) -> Dict[str, torch.Tensor]:
    return {name: torch.stack([state[name].double() for state in states]).mean(0).float() for name in states[0]}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path, help="the folder with trainings.json")
    words.add_argument("--data", type=Path, required=True, help="the folder with train*.parquet")
    words.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    words.add_argument("--half", action="store_true",
                       help="compute in bfloat16, weights in single precision: twice as fast on processors that have it")
    words.add_argument("--only", default="", help="the models whose names begin so, with their parents trained before")
    given = words.parse_args()
    jobs = json.loads((given.folder / "trainings.json").read_text())
    torch.backends.cudnn.benchmark = True
    images, labels = (values.to(given.device) for values in read(given.data))
    channels = images.shape[1]
    if jobs["architecture"] not in ResNet.KINDS:
        raise SystemExit(f"{jobs['architecture']} is not one of {', '.join(ResNet.KINDS)}")
    # (value / 255 - mean) / std, channel by channel.
    mean, std = (torch.tensor(jobs["preprocessing"][part]).expand(channels) for part in ("mean", "std"))
    shift = [part.view(1, -1, 1, 1).to(given.device) for part in (1 / (255 * std), -mean / std)]
    names = (torch.cuda.get_device_name() if images.is_cuda else f"{torch.get_num_threads()} cores", torch.__version__)
    precision = ", bfloat16" if given.half else ""
    told = {"device": f"{names[0]}, PyTorch {names[1]}{precision}", "seconds": {}, "accuracy": {}}
    if (given.folder / "trained.json").exists():
        told = json.loads((given.folder / "trained.json").read_text())
    Trainer.half = given.half
    for job in jobs["models"]:
        if not job["name"].startswith(given.only):
            continue
        file = given.folder / f"{job['name'].replace('/', '_')}.safetensors"
        if file.exists() and job["name"] in told["seconds"]:
            continue
        start = time.perf_counter()
        parents = [given.folder / f"{name.replace('/', '_')}.safetensors" for name in job["parents"]]
        state = average([load_file(parent) for parent in parents or [given.folder / "initial.safetensors"]])
        net = ResNet(jobs["architecture"], channels, len(jobs["labels"]))
        net.load_state_dict(state, strict=False)
        net.to(given.device, memory_format=torch.channels_last)
        rows = torch.tensor(job["rows"], device=given.device)
        trainer = Trainer(net, images, labels, job, shift)
        trainer.run(rows, job["seed"])
        net.eval()
        with torch.no_grad():
            right = [(net(images[part].float().mul(shift[0]).add(shift[1])).argmax(1) == labels[part]).sum()
                     for part in rows.split(1000)]
        told["accuracy"][job["name"]] = sum(int(count) for count in right) / len(rows)
        told["seconds"][job["name"]] = time.perf_counter() - start
        kept = {name: value.float().contiguous().cpu() for name, value in net.state_dict().items()
                if not name.endswith("num_batches_tracked")}
        save_file(kept, file)
        (given.folder / "trained.json").write_text(json.dumps(told, indent=1))
        print(f"{job['name']}: {told['accuracy'][job['name']]:.1%} of its samples, "
              f"{told['seconds'][job['name']]:.1f} s", flush=True)


if __name__ == "__main__":
    main()
