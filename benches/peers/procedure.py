"""The peer of the benchmark `procedure`: the paper's procedure in PyTorch, seconds on one line.

For each model one pass over the forget data and one over all its data, with the squared gradients of mini-batches of 64
as the public code takes them, then the edit of the last layer.

    python3 procedure.py FOLDER SAMPLES THREADS
"""

import sys
import time

import torch
import torchvision
from safetensors.torch import load_file

folder, samples, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
data = load_file(f"{folder}/data.safetensors")
images, labels = (data["images"].float() / 255 - 0.5) / 0.5, data["labels"].long()
models = []
for number in range(9):
    model = torchvision.models.resnet18(num_classes=10)
    model.load_state_dict(load_file(f"{folder}/m{number}.safetensors"), strict=False)
    models.append(model.eval())
loss_of = torch.nn.CrossEntropyLoss()


def importances(model, images, labels):
    sums = [torch.zeros_like(p) for p in model.parameters()]
    batches = list(zip(images.split(64), labels.split(64)))
    for x, y in batches:
        model.zero_grad()
        loss_of(model(x), y).backward()
        for total, p in zip(sums, model.parameters()):
            total += p.grad.square()
    return [total / len(batches) for total in sums]


start = time.perf_counter()
for number, model in enumerate(models):
    first = max(number - 4, 0) * samples
    x, y = images[first : first + samples], labels[first : first + samples]
    wanted = y == 3
    forget = importances(model, x[wanted], y[wanted])
    own = importances(model, x, y)
    with torch.no_grad():
        for f, o, p in list(zip(forget, own, model.parameters()))[-2:]:
            factor = (o / f).clamp(max=1)
            p.copy_(torch.where(f > 2 * o, p * factor, p))
print(time.perf_counter() - start)
