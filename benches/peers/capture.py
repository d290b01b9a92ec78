"""The benchmark `capture`: what `disinherit.torch.capture` costs over a plain forward pass, in the same run.

    python3 capture.py THREADS

Prints the seconds of a pass with and without, in turn, the shortest of several: "with without".
"""

import sys
import time

import torch
import torchvision

from disinherit.torch import capture

threads = int(sys.argv[1])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = torchvision.models.resnet18(num_classes=10).eval()
samples = torch.utils.data.TensorDataset(torch.rand(1024, 3, 32, 32), torch.randint(0, 10, (1024,)))
loader = torch.utils.data.DataLoader(samples, 128)
names = [str(n) for n in range(10)]


def plain():
    with torch.inference_mode():
        for images, _ in loader:
            model(images)


def captured():
    capture(model, loader, labels=names)


best = {plain: float("inf"), captured: float("inf")}
for _ in range(9):
    for step in (plain, captured):
        start = time.perf_counter()
        step()
        best[step] = min(best[step], time.perf_counter() - start)
print(best[captured], best[plain])
