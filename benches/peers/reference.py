"""The network in f64: the ONNX graph, node by node, in numpy."""

import numpy as np
import onnx
from onnx import numpy_helper


def windows(x, kernel, stride, pads, ceil, fill):
    """Every window of the padded map, [n, c, oh, ow, kh, kw]; the last one may hang over if `ceil`."""
    n, c, h, w = x.shape
    top, left, bottom, right = pads
    over = [-(h + top + bottom - kernel[0]) % stride[0], -(w + left + right - kernel[1]) % stride[1]]
    bottom, right = (bottom + over[0], right + over[1]) if ceil else (bottom, right)
    x = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))[:, :, :: stride[0], :: stride[1]]


def lrn(x, size, alpha, beta, bias):
    """Divides by a power of the sum of squares of `size` neighbouring channels."""
    squares = np.pad(x * x, [(0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)])
    sums = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x / (bias + alpha / size * sums) ** beta


def node(op, a, x, w=None, b=None):
    """One node with attributes `a`, on its input and constants."""
    if op in ("Conv", "MaxPool", "AveragePool"):
        fill = -np.inf if op == "MaxPool" else 0.0
        kernel, ceil = a["kernel_shape"], a.get("ceil_mode", 0)
        v = windows(x, kernel, a.get("strides", [1, 1]), a.get("pads", [0, 0, 0, 0]), ceil, fill)
        if op == "Conv":
            groups = zip(*(np.split(part, a.get("group", 1), axis) for part, axis in ((v, 1), (w, 0))))
            sums = [np.tensordot(v, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2) for v, w in groups]
            return np.concatenate(sums, 1) + b[:, None, None]
        return v.max((4, 5)) if op == "MaxPool" else v.mean((4, 5))
    if op == "LRN":
        return lrn(x, a["size"], a["alpha"], a["beta"], a["bias"])
    if op == "Gemm":
        return x @ w.T + b
    if op == "GlobalAveragePool":
        return x.mean((2, 3), keepdims=True)
    return {"Relu": lambda x: np.maximum(x, 0), "Flatten": lambda x: x.reshape(len(x), -1)}[op](x)


def run(path, x, output):
    """The value `output` of the graph in `path` for images `x`, [n, 3, h, w]."""
    graph = onnx.load(path).graph
    blobs = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
    blobs[graph.input[0].name] = x.astype(np.float64)
    for step in graph.node:
        inputs = [blobs[name] for name in step.input]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in step.attribute}
        concat = step.op_type == "Concat"
        y = np.concatenate(inputs, 1) if concat else node(step.op_type, attributes, *inputs)
        blobs[step.output[0]] = y
        if output in step.output:
            return y
    raise KeyError(output)
