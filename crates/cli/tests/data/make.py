"""Makes `small-cnn.onnx` and `apart.onnx`, the engine's `small-cnn` on 1x8x8 images as PyTorch exports it (torch
2.9.1): in the older way, in one file, and as it does when nothing is said, with weights beside the graph.

    python3 make.py
"""

import os
import warnings

import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu

warnings.filterwarnings("ignore")
os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(0)


class SmallCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = max_pool2d(relu(self.conv1(x)), 2)
        x = max_pool2d(relu(self.conv2(x)), 2)
        return self.fc2(relu(self.fc1(x.flatten(1))))


torch.onnx.export(
    SmallCnn().eval(),
    (torch.zeros(1, 1, 8, 8),),
    "small-cnn.onnx",
    input_names=["x"],
    output_names=["logits"],
    dynamic_axes={"x": {0: "n"}, "logits": {0: "n"}},
    dynamo=False,
    opset_version=17,
)
torch.onnx.export(
    SmallCnn().eval(),
    (torch.zeros(2, 1, 8, 8),),
    "apart.onnx",
    dynamic_shapes={"x": {0: torch.export.Dim("n")}},
)
