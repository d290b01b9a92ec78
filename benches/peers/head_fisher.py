"""The peer of the benchmark `head-fisher`: the same product in PyTorch, seconds on one line."""

import sys
import time

import torch

samples, inputs, classes, rounds, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)
features, residuals = torch.rand(samples, inputs), torch.rand(samples, classes)
times = []
for _ in range(rounds):
    start = time.perf_counter()
    (residuals * residuals).T @ (features * features)
    times.append(time.perf_counter() - start)
print(min(times))
