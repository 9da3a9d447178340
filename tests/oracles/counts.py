"""What each layer of each network costs, counted from the shapes that PyTorch finds.

    python tests/oracles/counts.py            # rewrites counts.json beside this script
    python tests/oracles/counts.py --check    # compares with it instead

The networks are written down from their papers and models, not from this project's tables; PyTorch infers every shape on
its meta device, which computes nothing. A layer's multiply-adds are its output's elements times the weights of one of
them. `tests/network/counts.rs` compares the tables with counts.json.
"""

import json
import math
import pathlib
import sys

import torch
from torch import nn

PATH = pathlib.Path(__file__).with_name("counts.json")
CLASSES = 1000


def count(side, build):
    """The layers of the network that `build` makes: name, output shape, multiply-adds, parameters."""
    layers = []

    def weighted(name, module, x):
        y = torch.relu(module(x))
        outputs, row = math.prod(y.shape[1:]), math.prod(module.weight.shape[1:])
        parameters = sum(parameter.numel() for parameter in module.parameters())
        layers.append([name, [*y.shape[1:], 1, 1][:3], outputs * row, parameters])
        return y

    def conv(x, name, oc, kernel, stride=1, pad=None, groups=1):
        pad = kernel // 2 if pad is None else pad
        module = nn.Conv2d(x.shape[1], oc, kernel, stride, pad, groups=groups, device="meta")
        return weighted(name, module, x)

    def dense(x, name, out):
        x = x.flatten(1)
        return weighted(name, nn.Linear(x.shape[1], out, device="meta"), x)

    build(torch.empty(1, 3, side, side, device="meta"), conv, dense)
    return layers


def pool(x, kernel=3, stride=2, pad=0, ceil=True):
    return nn.functional.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil)


def krizhevsky(floor=False):
    def build(x, conv, dense):
        x = pool(conv(x, "conv1", 96, 11, 4, 0), ceil=not floor)
        x = pool(conv(x, "conv2", 256, 5, groups=2), ceil=not floor)
        x = conv(conv(x, "conv3", 384, 3), "conv4", 384, 3, groups=2)
        x = pool(conv(x, "conv5", 256, 3, groups=2))
        dense(dense(dense(x, "fc6", 4096), "fc7", 4096), "fc8", CLASSES)

    return build


def zeiler_fergus(pad, widths, last, hidden, ceil):
    def build(x, conv, dense):
        x = pool(conv(x, "conv1", 96, 7, 2, pad), ceil=ceil)
        x = pool(conv(x, "conv2", 256, 5, 2, 0), ceil=ceil)
        for name, width in zip(["conv3", "conv4", "conv5"], widths):
            x = conv(x, name, width, 3)
        x = dense(dense(pool(x, last, ceil=ceil), "fc6", 4096), "fc7", hidden)
        dense(x, "fc8", CLASSES)

    return build


MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def inception(naive):
    def build(x, conv, dense):
        x = pool(conv(x, "conv1/7x7_s2", 64, 7, 2))
        x = pool(conv(conv(x, "conv2/3x3_reduce", 64, 1), "conv2/3x3", 192, 3))
        for name, (o1, r3, o3, r5, o5, proj) in MODULES.items():
            if name in ("4a", "5a"):
                x = pool(x)
            part = lambda x, part, oc, kernel: conv(x, f"inception_{name}/{part}", oc, kernel)
            pooled = pool(x, 3, 1, 1)
            if naive:
                parts = [part(x, "1x1", o1, 1), part(x, "3x3", o3, 3), part(x, "5x5", o5, 5), pooled]
            else:
                parts = [part(x, "1x1", o1, 1), part(part(x, "3x3_reduce", r3, 1), "3x3", o3, 3)]
                parts += [part(part(x, "5x5_reduce", r5, 1), "5x5", o5, 5), part(pooled, "pool_proj", proj, 1)]
            x = torch.cat(parts, 1)
        dense(x.mean((2, 3)), "loss3/classifier", CLASSES)

    return build


def main():
    networks = {
        "bvlc": count(224, inception(naive=False)),
        "naive": count(224, inception(naive=True)),
        "krizhevsky": count(227, krizhevsky()),
        "caffenet": count(227, krizhevsky()),
        "onnx-zoo-alexnet": count(224, krizhevsky(floor=True)),
        "zeiler-fergus": count(224, zeiler_fergus(1, [384, 384, 256], 3, 4096, True)),
        "zfnet512": count(224, zeiler_fergus(0, [512, 512, 512], 2, 1024, False)),
    }
    rows = {name: ",\n  ".join(json.dumps(layer) for layer in layers) for name, layers in networks.items()}
    text = "{" + ",".join(f'\n"{name}": [\n  {row}\n]' for name, row in rows.items()) + "\n}\n"
    if "--check" not in sys.argv:
        PATH.write_text(text)
        return
    assert PATH.read_text() == text, "counts.json is another"
    print("counts.json is what PyTorch's shapes give")


main()
