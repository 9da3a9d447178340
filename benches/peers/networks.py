"""The networks beside GoogLeNet, as ONNX graphs of seeded weights: who measures them needs nobody's files."""

import math

import numpy as np
from onnx import helper, numpy_helper

CLASSES = 1000
# By the names of the dialects: the input's side, and what the graph's output is called.
NETWORKS = {
    "bvlc-alexnet": (227, "fc8"),
    "caffenet": (227, "fc8"),
    "zeiler-fergus": (224, "fc8"),
    "zfnet512": (224, "fc8"),
    "naive": (224, "loss3/classifier"),
}
MODULES = {
    "3a": (64, 128, 32),
    "3b": (128, 192, 96),
    "4a": (192, 208, 48),
    "4b": (160, 224, 64),
    "4c": (128, 256, 64),
    "4d": (112, 288, 64),
    "4e": (256, 320, 128),
    "5a": (256, 320, 128),
    "5b": (384, 384, 128),
}


class Graph:
    """A graph in the making: weights are He-scaled, so that values keep their size."""

    def __init__(self):
        self.random = np.random.default_rng(1)
        self.nodes, self.weights = [], []

    def tensors(self, name, shape):
        scale = math.sqrt(6 / math.prod(shape[1:]))
        values = [self.random.uniform(-scale, scale, shape), self.random.uniform(-0.1, 0.1, shape[0])]
        names = [f"{name}_w", f"{name}_b"]
        self.weights += [numpy_helper.from_array(v.astype(np.float32), n) for v, n in zip(values, names)]
        return names

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, name, ic, oc, kernel, stride=1, pad=None, groups=1):
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2 if pad is None else pad] * 4}
        weights = self.tensors(name, (oc, ic // groups, kernel, kernel))
        x = self.node("Conv", [x, *weights], f"{name}_sum", group=groups, **window)
        return self.node("Relu", [x], name)

    def pool(self, x, name, kernel=3, stride=2, pad=0, ceil=1):
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self.node("MaxPool", [x], name, ceil_mode=ceil, **window)

    def norm(self, x, name, k=1.0, alpha=1e-4):
        return self.node("LRN", [x], name, size=5, alpha=alpha, beta=0.75, bias=k)

    def dense(self, x, name, inputs, outputs, relu=False):
        weights = self.tensors(name, (outputs, inputs))
        x = self.node("Gemm", [x, *weights], f"{name}_sum" if relu else name, transB=1)
        return self.node("Relu", [x], name) if relu else x

    def classifier(self, x, inputs, hidden):
        x = self.node("Flatten", [x], "flat", axis=1)
        x = self.dense(self.dense(x, "fc6", inputs, 4096, relu=True), "fc7", 4096, hidden, relu=True)
        return self.dense(x, "fc8", hidden, CLASSES)

    def model(self, side, output):
        image = helper.make_tensor_value_info("data", 1, ["n", 3, side, side])
        logits = helper.make_tensor_value_info(output, 1, ["n", CLASSES])
        graph = helper.make_graph(self.nodes, "network", [image], [logits], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def krizhevsky(g, pools_first):
    def between(x, n):
        if pools_first:
            return g.norm(g.pool(x, f"pool{n}"), f"norm{n}")
        return g.pool(g.norm(x, f"norm{n}"), f"pool{n}")

    x = between(g.conv("data", "conv1", 3, 96, 11, 4, 0), 1)
    x = between(g.conv(x, "conv2", 96, 256, 5, groups=2), 2)
    x = g.conv(g.conv(x, "conv3", 256, 384, 3), "conv4", 384, 384, 3, groups=2)
    g.classifier(g.pool(g.conv(x, "conv5", 384, 256, 3, groups=2), "pool5"), 256 * 36, 4096)


def zeiler_fergus(g, pad, widths, last, hidden, ceil):
    def between(x, n):
        return g.pool(g.norm(x, f"norm{n}", 2.0, 5e-4), f"pool{n}", ceil=ceil)

    x = between(g.conv("data", "conv1", 3, 96, 7, 2, pad), 1)
    x, ic = between(g.conv(x, "conv2", 96, 256, 5, 2, 0), 2), 256
    for name, oc in zip(["conv3", "conv4", "conv5"], widths):
        x, ic = g.conv(x, name, ic, oc, 3), oc
    g.classifier(g.pool(x, "pool5", last, ceil=ceil), ic * 36, hidden)


def naive(g):
    x = g.norm(g.pool(g.conv("data", "conv1", 3, 64, 7, 2), "pool1"), "norm1")
    x = g.conv(g.conv(x, "conv2_reduce", 64, 64, 1), "conv2", 64, 192, 3)
    x, ic = g.pool(g.norm(x, "norm2"), "pool2"), 192
    for name, widths in MODULES.items():
        if name in ("4a", "5a"):
            x = g.pool(x, f"pool_{name}")
        parts = [g.conv(x, f"{name}_{k}x{k}", ic, oc, k) for k, oc in zip([1, 3, 5], widths)]
        x = g.node("Concat", [*parts, g.pool(x, f"{name}_pool", 3, 1, 1)], name, axis=1)
        ic += sum(widths)
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x], "mean")], "flat", axis=1)
    g.dense(x, "loss3/classifier", ic, CLASSES)


def build(dialect):
    """The graph of `dialect`."""
    g = Graph()
    {
        "bvlc-alexnet": lambda: krizhevsky(g, pools_first=False),
        "caffenet": lambda: krizhevsky(g, pools_first=True),
        "zeiler-fergus": lambda: zeiler_fergus(g, 1, [384, 384, 256], 3, 4096, 1),
        "zfnet512": lambda: zeiler_fergus(g, 0, [512, 512, 512], 2, 1024, 0),
        "naive": lambda: naive(g),
    }[dialect]()
    return g.model(*NETWORKS[dialect])
