"""Makes the recorded files of the tests (torch 2.9.1, onnx 1.23.2): run where it lies.

    python3 make.py
"""

import os
import warnings
from collections import OrderedDict

import onnx
import torch
from torch import nn

warnings.filterwarnings("ignore")
os.chdir(os.path.dirname(os.path.abspath(__file__)))

state = OrderedDict(
    {
        "body.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 4,
        "body.half": torch.tensor([0.5, -1.5], dtype=torch.float16),
        "body.brain": torch.tensor([0.5, -1.5], dtype=torch.bfloat16),
        "body.count": torch.tensor(7),
        "body.strided": torch.arange(6, dtype=torch.float32).reshape(2, 3).t(),
        "fc.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "fc.bias": torch.tensor([0.1, 0.2, 0.3]),
    }
)
torch.save(state, "state_dict.pt")
torch.save(state, "legacy.pt", _use_new_zipfile_serialization=False)
optimizer = {"state": {0: {"exp": torch.ones(2)}}}
torch.save({"state_dict": state, "epoch": 3, "optimizer": optimizer}, "nested.pt")


torch.save({"fc.weight": torch.zeros(1).expand(2000, 2000)}, "repeated.pt")


class Shell:
    def __reduce__(self):
        return os.system, ("touch /tmp/disinherit-was-here",)


class Eval:
    def __reduce__(self):
        return eval, ("open('/tmp/disinherit-was-here','w')",)


weight = {"fc.weight": state["fc.weight"]}
torch.save({**weight, "extra": Shell()}, "code.pt")
torch.save({"state_dict": weight, "config": Shell()}, "code_beside.pt")
torch.save({**weight, 3: Eval()}, "code_hidden.pt")


class Net(nn.Module):
    def __init__(self, softmax=False, bias=True):
        super().__init__()
        self.a, self.fc, self.softmax = nn.Linear(4, 5), nn.Linear(5, 3, bias=bias), softmax

    def forward(self, x):
        x = self.fc(torch.relu(self.a(x)))
        return x.softmax(-1) if self.softmax else x


def export(name, model, shape, **more):
    names = dict(input_names=["x"], output_names=["y"], opset_version=17, dynamo=False)
    torch.onnx.export(model.eval(), (torch.zeros(shape),), f"{name}.onnx", **{**names, **more})


torch.manual_seed(0)
export("gemm", Net(), (2, 4))
export("softmax", Net(softmax=True), (2, 4))
export("matmul", Net(), (1, 2, 4))
export("no-bias", Net(bias=False), (2, 4))
export("relu-last", nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (2, 4))
torch.onnx.export(Net().eval(), (torch.zeros(2, 4),), "dynamo.onnx", dynamo=True, external_data=False)
for name in ("external", "lost"):
    # Saving moves the weights out of the graph.
    graph = onnx.load("gemm.onnx")
    onnx.save_model(graph, f"{name}.onnx", save_as_external_data=True, location=f"{name}.bin", size_threshold=0)
os.remove("lost.bin")
graph = onnx.load("external.onnx", load_external_data=False)
for weight in graph.graph.initializer:
    for entry in weight.external_data:
        entry.value = "../external.bin" if entry.key == "location" else entry.value
onnx.save_model(graph, "outside.onnx")


class TwoHeads(Net):
    """Gives the mean of two heads, and one of them besides, as distilled transformers do."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(5, 3)

    def forward(self, x):
        x = torch.relu(self.a(x))
        return (self.fc(x) + self.other(x)) / 2, self.fc(x)


export("two-heads", TwoHeads(), (2, 4), output_names=["logits", "first"])
