"""The peer of the benchmarks `forward`, `layers` and `training`: ResNet-18 on 32x32 images in PyTorch, images a second on one line.

    python3 resnet18.py forward|train|func BATCH THREADS
"""

import sys
import time

import torch
import torchvision

mode, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = torchvision.models.resnet18(num_classes=10)
images, labels = torch.rand(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
loss_of = torch.nn.CrossEntropyLoss()

if mode == "forward":
    model.eval()
    rounds = 24

    def step():
        with torch.no_grad():
            model(images)

elif mode == "train":
    model.train()
    rounds = 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()

else:  # the mean of squared per-sample gradients
    model.eval()
    rounds = 4
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(parameters, image, label):
        logits = torch.func.functional_call(model, (parameters, buffers), (image[None],))
        return loss_of(logits, label[None])

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def step():
        for gradient in gradients(parameters, images, labels).values():
            gradient.square().mean(0)


step()
best = float("inf")
for _ in range(rounds):
    start = time.perf_counter()
    step()
    best = min(best, time.perf_counter() - start)
print(batch / best)
