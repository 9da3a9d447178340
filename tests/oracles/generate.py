"""What other programs compute for networks of each dialect, on weights that a formula gives.

    python -m venv oracles && oracles/bin/pip install torch torchvision onnx onnxruntime onnxscript numpy safetensors
    oracles/bin/python tests/oracles/generate.py            # rewrites the files beside this one
    oracles/bin/python tests/oracles/generate.py krizhevsky # rewrites what is stored of this case alone
    oracles/bin/python tests/oracles/generate.py --check    # compares with them instead

`expected.json` holds logits. The `.onnx` files are graphs as exporters write them, their weights cut out: whoever runs
them puts `values(name, shape)` back. `src/import/tests/oracle.rs` has the same formula, imports, runs and compares.
"""

import argparse
import io
import json
import math
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
import torchvision
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
SIDE, CLASSES = 224, 12
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
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


def uniform(name, n):
    """n numbers of -1 to 1: SplitMix64's finaliser over a counter that begins at the FNV-1a hash of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def values(name, shape):
    """The f32 tensor of that name: weights keep the size of what they are applied to, variances are positive."""
    u = uniform(name, math.prod(shape))
    if len(shape) > 1:
        fan_in = math.prod(shape[:-1]) if name.endswith("weights") else math.prod(shape[1:])
        u = u * math.sqrt(6.0 / fan_in)
    elif name.endswith(("running_var", "moving_variance", "bn.weight", "gamma")):
        u = 1.0 + 0.5 * u
    else:
        u = 0.1 * u
    return u.astype(np.float32).reshape(shape)


def image(amplitude, side=SIDE):
    return (uniform("image", 3 * side * side) * amplitude).astype(np.float32).reshape(1, 3, side, side)


def torchvision_network(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.googlenet(weights=None, init_weights=False, num_classes=CLASSES, **options)
    state = network.state_dict()
    fill = lambda name, old: torch.from_numpy(values(name, tuple(old.shape))) if old.is_floating_point() else old
    network.load_state_dict({name: fill(name, old) for name, old in state.items()})
    return network.eval()


def torchvision_state():
    """torchvision's own network in f64, both heads in evaluation mode."""
    network = torchvision_network(aux_logits=True).double()
    maps = {}
    for name in ["inception4a", "inception4d"]:
        getattr(network, name).register_forward_hook(lambda _m, _x, y, name=name: maps.__setitem__(name, y))
    logits = network(torch.from_numpy(image(1.0)).double())
    heads = {"loss1": network.aux1(maps["inception4a"]), "loss2": network.aux2(maps["inception4d"])}
    return {"amplitude": 1.0, "logits": logits, **heads}


def f64(name, shape):
    return torch.from_numpy(values(name, shape)).double()


def caffe_network(naive=False):
    """Caffe's reference network from its definition, in f64: windows that reach past the map are clipped to it. Naive
    modules have neither reductions nor a projection, and the network no heads."""

    def conv(x, name, oc, kernel, stride=1):
        w, b = f64(f"{name}.weight", (oc, x.shape[1], kernel, kernel)), f64(f"{name}.bias", (oc,))
        return F.relu(F.conv2d(x, w, b, stride, kernel // 2))

    def pool(x):
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def norm(x):
        return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)

    def dense(x, name, out):
        return F.linear(x.flatten(1), f64(f"{name}.weight", (out, x.flatten(1).shape[1])), f64(f"{name}.bias", (out,)))

    def module(x, name):
        o1, r3, o3, r5, o5, proj = MODULES[name]
        part = lambda x, part, oc, kernel: conv(x, f"inception_{name}/{part}", oc, kernel)
        if naive:
            convs = [part(x, "1x1", o1, 1), part(x, "3x3", o3, 3), part(x, "5x5", o5, 5)]
            return torch.cat([*convs, F.max_pool2d(x, 3, 1, 1)], 1)
        return torch.cat(
            [
                part(x, "1x1", o1, 1),
                part(part(x, "3x3_reduce", r3, 1), "3x3", o3, 3),
                part(part(x, "5x5_reduce", r5, 1), "5x5", o5, 5),
                part(F.max_pool2d(x, 3, 1, 1), "pool_proj", proj, 1),
            ],
            1,
        )

    def head(x, name):
        x = conv(F.avg_pool2d(x, 5, 3), f"{name}/conv", 128, 1)
        return dense(F.relu(dense(x, f"{name}/fc", 1024)), f"{name}/classifier", CLASSES)

    x = norm(pool(conv(torch.from_numpy(image(100.0)).double(), "conv1/7x7_s2", 64, 7, 2)))
    x = pool(norm(conv(conv(x, "conv2/3x3_reduce", 64, 1), "conv2/3x3", 192, 3)))
    heads = {}
    for name in MODULES:
        if name in ("4a", "5a"):
            x = pool(x)
        x = module(x, name)
        if name in ("4a", "4d") and not naive:
            which = "loss1" if name == "4a" else "loss2"
            heads[which] = head(x, which)
    return {"amplitude": 100.0, "logits": dense(x.mean((2, 3)), "loss3/classifier", CLASSES), **heads}


def tower(side, layers):
    """A network without branches, in f64; each layer is its kind, its name and its numbers."""
    x = torch.from_numpy(image(100.0, side)).double()
    for kind, name, *numbers in layers:
        if kind == "conv":
            oc, groups, kernel, stride, pad = numbers
            w, b = f64(f"{name}.weight", (oc, x.shape[1] // groups, kernel, kernel)), f64(f"{name}.bias", (oc,))
            x = F.relu(F.conv2d(x, w, b, stride, pad, groups=groups))
        elif kind == "pool":
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        elif kind == "norm":
            k, alpha = numbers
            x = F.local_response_norm(x, 5, alpha=alpha, beta=0.75, k=k)
        else:
            (out,) = numbers
            x = x.flatten(1)
            x = F.linear(x, f64(f"{name}.weight", (out, x.shape[1])), f64(f"{name}.bias", (out,)))
            x = F.relu(x) if name != "fc8" else x
    return {"amplitude": 100.0, "logits": x}


DENSE = [("dense", "fc6", 4096), ("dense", "fc7", 4096), ("dense", "fc8", CLASSES)]


def krizhevsky_network(pools_first=False, k=1.0, alpha=1e-4):
    """Krizhevsky's network as Caffe has it, in two orders of pool and normalisation, with any constants of the latter."""

    def between(n):
        both = [("norm", f"norm{n}", k, alpha), ("pool", f"pool{n}")]
        return both[::-1] if pools_first else both

    layers = [("conv", "conv1", 96, 1, 11, 4, 0), *between(1), ("conv", "conv2", 256, 2, 5, 1, 2), *between(2)]
    layers += [("conv", "conv3", 384, 1, 3, 1, 1), ("conv", "conv4", 384, 2, 3, 1, 1), ("conv", "conv5", 256, 2, 3, 1, 1)]
    return tower(227, [*layers, ("pool", "pool5"), *DENSE])


def zeiler_fergus_network():
    """The Zeiler-Fergus network by its paper's figure 3."""
    norm = lambda n: [("norm", f"norm{n}", 2.0, 5e-4), ("pool", f"pool{n}")]
    layers = [("conv", "conv1", 96, 1, 7, 2, 1), *norm(1), ("conv", "conv2", 256, 1, 5, 2, 0), *norm(2)]
    layers += [("conv", "conv3", 384, 1, 3, 1, 1), ("conv", "conv4", 384, 1, 3, 1, 1), ("conv", "conv5", 256, 1, 3, 1, 1)]
    return tower(224, [*layers, ("pool", "pool5"), *DENSE])


SLIM_MODULES = dict(zip(MODULES, ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"]))


def same(x, kernel, stride, value):
    """TensorFlow's SAME, written out: the odd row and column of padding come last."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def slim_network():
    """Inception v1 as slim defines it, in f64; batch normalisation without gamma, epsilon 0.001."""

    def conv(x, scope, oc, kernel, stride=1):
        scope = f"InceptionV1/{scope}"
        w = f64(f"{scope}/weights", (kernel, kernel, x.shape[1], oc)).permute(3, 2, 0, 1)
        x = F.conv2d(same(x, kernel, stride, 0.0), w, None, stride)
        stat = lambda name: f64(f"{scope}/BatchNorm/{name}", (oc,))
        return F.relu(F.batch_norm(x, stat("moving_mean"), stat("moving_variance"), None, stat("beta"), eps=1e-3))

    def pool(x, kernel, stride):
        return F.max_pool2d(same(x, kernel, stride, -math.inf), kernel, stride)

    def module(x, name):
        o1, r3, o3, r5, o5, proj = MODULES[name]
        part = lambda x, branch, oc, kernel: conv(x, f"Mixed_{SLIM_MODULES[name]}/Branch_{branch}", oc, kernel)
        third = "2/Conv2d_0a_3x3" if name == "5a" else "2/Conv2d_0b_3x3"
        return torch.cat(
            [
                part(x, "0/Conv2d_0a_1x1", o1, 1),
                part(part(x, "1/Conv2d_0a_1x1", r3, 1), "1/Conv2d_0b_3x3", o3, 3),
                part(part(x, "2/Conv2d_0a_1x1", r5, 1), third, o5, 3),
                part(pool(x, 3, 1), "3/Conv2d_0b_1x1", proj, 1),
            ],
            1,
        )

    x = pool(conv(torch.from_numpy(image(1.0)).double(), "Conv2d_1a_7x7", 64, 7, 2), 3, 2)
    x = pool(conv(conv(x, "Conv2d_2b_1x1", 64, 1), "Conv2d_2c_3x3", 192, 3), 3, 2)
    for name in MODULES:
        if name in ("4a", "5a"):
            x = pool(x, 3 if name == "4a" else 2, 2)
        x = module(x, name)
    x = x.mean((2, 3), keepdim=True)
    w = f64("InceptionV1/Logits/Conv2d_0c_1x1/weights", (1, 1, 1024, CLASSES)).permute(3, 2, 0, 1)
    logits = F.conv2d(x, w, f64("InceptionV1/Logits/Conv2d_0c_1x1/biases", (CLASSES,)))
    return {"amplitude": 1.0, "logits": logits}


def run_onnx(model, amplitude):
    """Puts the weights in, lets ONNX Runtime compute, and takes them out again."""
    large = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) > 1]
    for tensor in large:
        name, shape = tensor.name, tuple(tensor.dims)
        tensor.CopyFrom(numpy_helper.from_array(values(name, shape), name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no word about weights among the inputs
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    logits = session.run(None, {session.get_inputs()[0].name: image(amplitude)})[-1]
    for tensor in large:
        tensor.ClearField("raw_data")
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    return {"amplitude": amplitude, "logits": logits}


def torchvision_onnx(dynamo, transform_input):
    """What PyTorch's exporters write: convolutions with batch normalisation folded in."""
    network = torchvision_network(aux_logits=False, transform_input=transform_input)
    out = io.BytesIO()
    options = {"dynamo": True, "external_data": False, "verbose": False} if dynamo else {"dynamo": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 3, SIDE, SIDE),), out, **options)
    return onnx.load_from_string(out.getvalue())


class Graph:
    """A graph of ONNX, node by node."""

    def __init__(self):
        self.nodes, self.tensors, self.count = [], [], 0

    def tensor(self, name, shape):
        self.tensors.append(helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(math.prod(shape))))
        return name

    def integers(self, name, numbers):
        self.tensors.append(helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers))
        return name

    def node(self, operator, *inputs, **attributes):
        self.count += 1
        output = f"t{self.count}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"n{self.count}", **attributes))
        return output

    def model(self, output, opset):
        image = helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
        logits = helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, CLASSES])
        graph = helper.make_graph(self.nodes, "graph", [image], [logits], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def inception_onnx(conv, third, module_pool, halve, x):
    """All of the network between the image and the last pool."""
    for name, (o1, r3, o3, r5, o5, proj) in MODULES.items():
        if name in ("4a", "5a"):
            x = halve(x, name)
        part = lambda x, part, oc, ic, kernel: conv(x, f"inception_{name}/{part}", oc, ic, kernel, 1)
        ic = {"3a": 192, "3b": 256, "4a": 480, "4b": 512, "4c": 512, "4d": 512, "4e": 528, "5a": 832, "5b": 832}[name]
        branches = [
            part(x, "1x1", o1, ic, 1),
            part(part(x, "3x3_reduce", r3, ic, 1), "3x3", o3, r3, 3),
            part(part(x, "5x5_reduce", r5, ic, 1), "5x5", o5, r5, third),
            part(module_pool(x), "pool_proj", proj, ic, 1),
        ]
        x = halve.graph.node("Concat", *branches, axis=1)
    return x


def floor_onnx():
    """Inception v1 as Caffe2 exported it: pools round down, the average reaches over the edge, opset 9."""
    graph = Graph()

    def conv(x, name, oc, ic, kernel, stride):
        w, b = graph.tensor(f"{name}_w", [oc, ic, kernel, kernel]), graph.tensor(f"{name}_b", [oc])
        pads = [kernel // 2] * 4
        return graph.node("Relu", graph.node("Conv", x, w, b, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads))

    def halve(x, _name=None):
        return graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0] * 4)

    halve.graph = graph
    norm = lambda x: graph.node("LRN", x, size=5, alpha=1e-4, beta=0.75, bias=1.0)
    module_pool = lambda x: graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    x = norm(halve(conv("data", "conv1", 64, 3, 7, 2)))
    x = halve(norm(conv(conv(x, "conv2_reduce", 64, 64, 1, 1), "conv2", 192, 64, 3, 1)))
    x = inception_onnx(conv, 5, module_pool, halve, x)
    x = graph.node("AveragePool", x, kernel_shape=[7, 7], strides=[1, 1], pads=[0, 0, 1, 1])
    x = graph.node("Reshape", graph.node("Dropout", x, ratio=0.4), graph.integers("flat", [1, 1024]))
    w = graph.node("Reshape", graph.tensor("fc_w", [CLASSES, 1024, 1, 1]), graph.integers("matrix", [CLASSES, 1024]))
    return graph.model(graph.node("Gemm", x, w, graph.tensor("fc_b", [CLASSES]), transB=1), 9)


def tower_onnx(alexnet):
    """Krizhevsky's network, or the Zeiler-Fergus one of 512 channels, as Caffe2 exported them: opset 9, weights among
    the graph's inputs, and what is left of a queue."""
    graph = Graph()

    def conv(x, name, oc, ic, kernel, stride, pad, groups=1):
        w, b = graph.tensor(f"{name}_w_0", [oc, ic // groups, kernel, kernel]), graph.tensor(f"{name}_b_0", [oc])
        extra = {"group": groups} if groups > 1 else {}
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return graph.node("Relu", graph.node("Conv", x, w, b, **window, **extra))

    def pool(x, kernel=3, end=0):
        return graph.node("MaxPool", x, kernel_shape=[kernel] * 2, strides=[2, 2], pads=[0, 0, end, end])

    def norm(x):
        k, alpha = (1.0, 1e-4) if alexnet else (2.0, 5e-4)
        return pool(graph.node("LRN", x, size=5, alpha=alpha, beta=0.75, bias=k))

    def dense(x, name, out, inputs):
        return graph.node("Gemm", x, graph.tensor(f"{name}_w_0", [out, inputs]), graph.tensor(f"{name}_b_0", [out]), transB=1)

    if alexnet:
        x = norm(conv("data", "conv1", 96, 3, 11, 4, 0))
        x = norm(conv(x, "conv2", 256, 96, 5, 1, 2, 2))
        x = conv(conv(x, "conv3", 384, 256, 3, 1, 1), "conv4", 384, 384, 3, 1, 1, 2)
        x = pool(conv(x, "conv5", 256, 384, 3, 1, 1, 2), end=1)
        inputs, fc7 = 256 * 36, 4096
    else:
        x = norm(conv("data", "conv1", 96, 3, 7, 2, 0))
        x = norm(conv(x, "conv2", 256, 96, 5, 2, 0))
        x = conv(conv(conv(x, "conv3", 512, 256, 3, 1, 1), "conv4", 512, 512, 3, 1, 1), "conv5", 512, 512, 3, 1, 1)
        x = pool(x, kernel=2)
        inputs, fc7 = 512 * 36, 1024
        graph.tensor("queue", [1, 1])
    x = graph.node("Reshape", x, graph.integers("flat", [1, inputs]))
    x = graph.node("Dropout", graph.node("Relu", dense(x, "fc6", 4096, inputs)), ratio=0.5)
    x = graph.node("Dropout", graph.node("Relu", dense(x, "fc7", fc7, 4096)), ratio=0.5)
    model = graph.model(dense(x, "fc8", CLASSES, fc7), 9)
    types = [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in graph.tensors]
    model.graph.input.extend(types)
    return model


def slim_onnx():
    """Inception v1 as TensorFlow lays it out: padding apart from its convolution, batch normalisation, a convolution
    as classifier, opset 13."""
    graph = Graph()

    def conv(x, name, oc, ic, kernel, stride):
        pads = [kernel // 2] * 4
        if stride == 2:
            x = graph.node("Pad", x, graph.integers("pads", [0, 0, 2, 2, 0, 0, 3, 3]))
            pads = [0] * 4
        x = graph.node("Conv", x, graph.tensor(f"{name}/kernel", [oc, ic, kernel, kernel]), strides=[stride] * 2, pads=pads)
        stats = [graph.tensor(f"{name}/{stat}", [oc]) for stat in ("gamma", "beta", "moving_mean", "moving_variance")]
        return graph.node("Relu", graph.node("BatchNormalization", x, *stats, epsilon=0.001))

    def halve(x, name=None):
        kernel = 2 if name == "5a" else 3
        return graph.node("MaxPool", x, kernel_shape=[kernel] * 2, strides=[2, 2], auto_pad="SAME_UPPER")

    halve.graph = graph
    module_pool = lambda x: graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], auto_pad="SAME_UPPER")
    x = halve(conv("data", "conv1", 64, 3, 7, 2))
    x = halve(conv(conv(x, "conv2_reduce", 64, 64, 1, 1), "conv2", 192, 64, 3, 1))
    x = inception_onnx(conv, 3, module_pool, halve, x)
    x = graph.node("ReduceMean", x, axes=[2, 3], keepdims=1)
    x = graph.node("Conv", x, graph.tensor("logits_w", [CLASSES, 1024, 1, 1]), graph.tensor("logits_b", [CLASSES]))
    return graph.model(graph.node("Squeeze", x, graph.integers("axes", [2, 3])), 13)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="compare with the stored files")
    options.add_argument("only", nargs="*", metavar="CASE", help="these cases alone, instead of all")
    options = options.parse_args()
    torch.set_grad_enabled(False)
    networks = {
        "torchvision": torchvision_state,
        "bvlc": caffe_network,
        "tf-slim": slim_network,
        "naive": lambda: caffe_network(naive=True),
        "caffenet": lambda: krizhevsky_network(pools_first=True),
        "bvlc-alexnet": krizhevsky_network,
        # The paper's alpha of 1e-4 is that of a sum over 5 channels; torch divides its own by their number.
        "krizhevsky": lambda: krizhevsky_network(k=2.0, alpha=5 * 1e-4),
        "zeiler-fergus": zeiler_fergus_network,
    }
    graphs = {
        "torchvision_traced": (lambda: torchvision_onnx(dynamo=False, transform_input=True), 1.0),
        "torchvision_exported": (lambda: torchvision_onnx(dynamo=True, transform_input=False), 1.0),
        "inception_v1_floor": (floor_onnx, 100.0),
        "inception_v1_same": (slim_onnx, 1.0),
        "alexnet_floor": (lambda: tower_onnx(alexnet=True), 100.0),
        "zfnet512": (lambda: tower_onnx(alexnet=False), 100.0),
    }
    unknown = set(options.only) - networks.keys() - graphs.keys()
    assert not unknown, f"no cases: {sorted(unknown)}"
    is_wanted = lambda case: not options.only or case in options.only
    cases = {case: network() for case, network in networks.items() if is_wanted(case)}
    for case, (graph, amplitude) in graphs.items():
        if is_wanted(case):
            model = graph()
            cases[case] = run_onnx(model, amplitude)
            if not options.check:
                (HERE / f"{case}.onnx").write_bytes(model.SerializeToString())
    plain = lambda value: value if isinstance(value, float) else [float(f"{x:.9g}") for x in np.asarray(value).ravel()]
    cases = {case: {key: plain(value) for key, value in parts.items()} for case, parts in cases.items()}
    path = HERE / "expected.json"
    stored = json.loads(path.read_text())
    if not options.check:
        cases = {case: cases.get(case) or stored[case] for case in [*networks, *graphs]}
        path.write_text(json.dumps(cases, indent=1) + "\n")
        return
    for case, parts in cases.items():
        for key in parts.keys() - {"amplitude"}:
            now, then = np.array(parts[key]), np.array(stored[case][key])
            error = np.abs(now - then).max() / np.abs(then).max()
            print(f"{case} {key}: within {error:.1e} of the stored")
            assert error < 1e-5


main()
