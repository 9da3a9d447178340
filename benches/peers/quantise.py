"""One engine's int8 model in one process: `quantise.py NAME FOLDER IMAGES.npy` writes it beside that of f32.

Each engine's own tool quantises, with weights scaled by output channel. Static scales of activations are calibrated on
all of IMAGES, f32 [n, 3, side, side], as the network sees them. What a tool lets one choose stays as its makers set it,
unless a comment says why not.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import prepare


def openvino(folder, images):
    import nncf
    import openvino as ov

    model = ov.Core().read_model(folder / "model.onnx")
    quantised = nncf.quantize(model, nncf.Dataset([x[None] for x in images]), subset_size=len(images))
    # Weights that stay in floating point would be rounded to f16 else.
    ov.save_model(quantised, folder / "model_int8.xml", compress_to_fp16=False)


def onnxruntime(folder, images):
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        rest = iter(images)

        def get_next(self):
            x = next(self.rest, None)
            return x if x is None else {"data": x[None]}

    with tempfile.TemporaryDirectory() as temporary:
        ready = f"{temporary}/model.onnx"
        quant_pre_process(folder / "model.onnx", ready, skip_symbolic_shape=True)  # which needs one more package
        kinds = {"activation_type": q.QuantType.QUInt8, "weight_type": q.QuantType.QInt8}
        # Without VNNI its products of bytes are summed in pairs of 16 bits, which weights of 8 bits saturate.
        form = {"quant_format": q.QuantFormat.QDQ, "per_channel": True, "reduce_range": not prepare.dot_products()}
        q.quantize_static(ready, folder / "model_int8.onnx", Reader(), **form, **kinds)


def mnn(folder, images):
    # Static scales would be the work of the wheel's `mnnquant`. In the pinned version it fails on this network: its
    # methods KL and ADMM end in a segmentation fault, EMA writes models whose logits are infinite or no numbers. So the
    # weights alone are quantised here, and activations by the engine as it runs, which needs no calibration.
    subprocess.run(prepare.mnn("model_int8.mnn", "--weightQuantBits", "8"), cwd=folder, check=True)


def main():
    name, folder, images = sys.argv[1:]
    globals()[name](Path(folder), np.load(images))


if __name__ == "__main__":
    main()
