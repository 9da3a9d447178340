"""The command on whole files of other programs, against those programs: run where `generate.py`'s packages are.

    cargo build --release
    python tests/oracles/end_to_end.py target/release/googlenet

- `light_inception_v1.onnx` of the `onnx` wheel, whose output lies beside it
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


def light(folder):
    data = pathlib.Path(onnx.__file__).parent / "backend/test/data/light"
    path = data / "light_inception_v1.onnx"
    n = 3 * 224 * 224
    x = (np.arange(n).reshape(1, 3, 224, 224) / n).astype(np.float32)
    stored = onnx.TensorProto.FromString((data / "light_inception_v1_output_0.pb").read_bytes())
    compare("light_inception_v1, stored", run(path, x, ["--endpoint", "prob"], folder), numpy_helper.to_array(stored), 1e-3)
    model = onnx.load(path)
    logits = model.graph.node[-1].input[0]
    model.graph.output[0].name = logits
    del model.graph.node[-1]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run([logits], {session.get_inputs()[0].name: x})[0]
    compare("light_inception_v1, logits", run(path, x, [], folder), expected, 2e-5)


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
    light(pathlib.Path(folder))
    torch_network(pathlib.Path(folder))
