"""The command on whole files of other programs, against those programs: run where `generate.py`'s packages are.

    cargo build --release
    python tests/oracles/end_to_end.py target/release/googlenet

- `light_inception_v1.onnx`, `light_bvlc_alexnet.onnx` and `light_zfnet512.onnx` of the `onnx` wheel, whose outputs lie
  beside them; and the same graphs with seeded random weights, as theirs are all the same
- torchvision's GoogLeNet with its heads, as a `state_dict` in safetensors, and as ONNX from both of PyTorch's exporters
"""

import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
from onnx import numpy_helper
from safetensors.torch import save_file

COMMAND = sys.argv[1]


def run(weights, x, endpoint, folder):
    """What the command computes for `x` with the weights in a foreign file."""
    converted, image, out = folder / "w.safetensors", folder / "x.npy", folder / "y.npy"
    subprocess.run([COMMAND, "convert", weights, converted, "--force"], check=True)
    np.save(image, x)
    arguments = ["--weights", converted, "--input", image, "--output", out, "--force"]
    subprocess.run([COMMAND, "run", *arguments, *endpoint], check=True)
    return np.load(out)


def compare(what, got, expected, bound):
    expected = np.asarray(expected).reshape(got.shape)
    error = np.abs(got - expected).max() / np.abs(expected).max()
    print(f"{what}: within {error:.1e} of the largest")
    assert error <= bound, what


def light(name, folder):
    data = pathlib.Path(onnx.__file__).parent / "backend/test/data/light"
    path = data / f"light_{name}.onnx"
    n = 3 * 224 * 224
    x = (np.arange(n).reshape(1, 3, 224, 224) / n).astype(np.float32)
    stored = onnx.TensorProto.FromString((data / f"light_{name}_output_0.pb").read_bytes())
    compare(f"light_{name}, stored", run(path, x, ["--endpoint", "prob"], folder), numpy_helper.to_array(stored), 1e-3)
    model = onnx.load(path)
    logits = model.graph.node[-1].input[0]
    model.graph.output[0].name = logits
    del model.graph.node[-1]
    compare(f"light_{name}, logits", run(path, x, [], folder), logits_of(model, x), 2e-5)
    # The weights of these files are made in the graph, of one number a tensor.
    made = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "ConstantOfShape"}
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    random = np.random.default_rng(1)
    for tensor, shape in made.items():
        shape = tuple(shapes[shape])
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 600
        values = random.uniform(-1, 1, shape) * np.sqrt(6 / fan_in)
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), tensor))
    nodes = [node for node in model.graph.node if node.op_type != "ConstantOfShape"]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name_of in made.values():
        initializer = next(tensor for tensor in model.graph.initializer if tensor.name == name_of)
        model.graph.initializer.remove(initializer)
        for graph_input in [known for known in model.graph.input if known.name == name_of]:
            model.graph.input.remove(graph_input)
    seeded = folder / "seeded.onnx"
    onnx.save(model, seeded)
    x = random.uniform(-100, 100, (1, 3, 224, 224)).astype(np.float32)
    compare(f"{name} of seeded weights, logits", run(seeded, x, [], folder), logits_of(model, x), 2e-5)


def logits_of(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no word about weights among the inputs
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def torch_network(folder):
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.googlenet(weights=None, init_weights=True, aux_logits=True)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            # The initialiser's small weights would leave nothing of the image after twenty layers.
            module.weight.uniform_(2.0, 6.0)
            module.bias.normal_(0.0, 0.1)
    network.eval()
    x = torch.randn(1, 3, 224, 224)
    maps = {}
    for name in ["inception4a", "inception4d"]:
        getattr(network, name).register_forward_hook(lambda _m, _x, y, name=name: maps.__setitem__(name, y))
    logits = network(x)
    heads = {"loss1": network.aux1(maps["inception4a"]), "loss2": network.aux2(maps["inception4d"])}
    path = folder / "state_dict.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    compare("torchvision, state_dict", run(path, x.numpy(), [], folder), logits, 2e-5)
    for head, expected in heads.items():
        compare(f"torchvision, {head}", run(path, x.numpy(), ["--endpoint", head], folder), expected, 2e-5)
    for dynamo in [False, True]:
        path = folder / "network.onnx"
        options = {"dynamo": True, "external_data": False, "verbose": False} if dynamo else {"dynamo": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, (x,), path, **options)
        compare(f"torchvision, ONNX, dynamo={dynamo}", run(path, x.numpy(), [], folder), logits, 2e-5)


with tempfile.TemporaryDirectory() as folder:
    for name in ["inception_v1", "bvlc_alexnet", "zfnet512"]:
        light(name, pathlib.Path(folder))
    torch_network(pathlib.Path(folder))
