"""One engine in one process: `engine.py NAME FOLDER BATCH THREADS check|judge|RUNS` prints a line of JSON.

`check` gives the version and how far the logits lie from the f64 reference; `judge` how many photographs are
classified rightly; a number of runs gives times per image. FOLDER holds what `compare.py` put there. An engine is a
function of the folder, the batch, the threads and the precision; it returns a function from images, f32
[batch, 3, SIDE, SIDE], to logits, [batch, 1000], and a remark for the table.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import prepare

# Of GoogLeNet; those of another network stand in its folder's network.json.
SIDE, OUTPUT = 224, "loss3/classifier"


def onnxruntime(folder, batch, threads, precision):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    file, remark = {"f32": ("model.onnx", "as it comes"), "int8": ("model_int8.onnx", "static QDQ")}[precision]
    session = ort.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run([OUTPUT], {"data": x})[0], remark


def openvino(folder, batch, threads, precision, choose=True):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(openvino_model(folder, precision))
    model.reshape([batch, 3, SIDE, SIDE])
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    if choose:
        config["INFERENCE_PRECISION_HINT"] = openvino_hint(precision)
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()

    def run(x):
        request.infer([x], share_inputs=True)
        return request.get_tensor(OUTPUT).data

    kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return run, f"{openvino_remark(precision, kind)}, latency hint, one stream"


def openvino_model(folder, precision):
    return folder / ("model_int8.xml" if precision == "int8" else "model.onnx")


def openvino_hint(precision):
    """The precision of what the model does not say to be int8."""
    return "bf16" if precision == "bf16" else "f32"


def openvino_remark(precision, kind):
    return f"int8 by NNCF {version('nncf')}, else {kind}" if precision == "int8" else kind


def openvino_default(folder, batch, threads, precision):
    run, remark = openvino(folder, batch, threads, precision, choose=False)
    return run, f"default precision: {remark}"


def openvino_streams(folder, batch, threads, precision):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(openvino_model(folder, precision))
    model.reshape([1, 3, SIDE, SIDE])
    hint = openvino_hint(precision)
    config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}
    compiled = core.compile_model(model, "CPU", config)
    queue = ov.AsyncInferQueue(compiled, threads)
    logits = np.empty((batch, 1000), np.float32)
    queue.set_callback(lambda request, i: logits.__setitem__(i, request.get_tensor(OUTPUT).data[0]))

    def run(x):
        for i in range(batch):
            queue.start_async([x[i : i + 1]], i, share_inputs=True)
        queue.wait_all()
        return logits

    kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return run, f"{openvino_remark(precision, kind)}, a stream an image"


def ncnn(folder, batch, threads, precision):
    import ncnn

    # Faster than its own batches, and no slower than all threads on one image after the other.
    per_image = batch > 1 and threads > 1
    net = ncnn.Net()
    net.opt.num_threads = 1 if per_image else threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = precision == "bf16"
    if net.load_param(str(folder / "model.ncnn.param")) or net.load_model(str(folder / "model.ncnn.bin")):
        raise RuntimeError("the model does not load")

    def image(x):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(x))
        return extractor.extract("out1")[1].numpy()

    each = ThreadPoolExecutor(threads).map if per_image else map
    remark = "fp16 off, bf16 storage" if precision == "bf16" else "fp16 off"
    return lambda x: np.stack(list(each(image, x))), f"{remark}, a thread an image" if per_image else remark


def mnn(folder, batch, threads, precision):
    import MNN

    # `memory` 2 is the library's Memory_Low: activations are quantised as they come, where weights are.
    file, options, remark = {
        "f32": ("model.mnn", {"precision": "high"}, "precision high"),
        "bf16": ("model.mnn", {"precision": "Low_BF16"}, "precision Low_BF16"),
        "int8": ("model_int8.mnn", {"precision": "high", "memory": 2}, "memory low, activations quantised in the run"),
    }[precision]
    net = MNN.Interpreter(str(folder / file))
    session = net.createSession({"backend": "CPU", "numThread": threads, **options})
    shape = (batch, 3, SIDE, SIDE)
    data = net.getSessionInput(session, "data")
    net.resizeTensor(data, shape)
    net.resizeSession(session)
    logits = net.getSessionOutput(session, OUTPUT)

    def run(x):
        data.copyFrom(MNN.Tensor(shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe))
        net.runSession(session)
        return logits.getNumpyData().reshape(batch, -1)

    return run, remark


def logits(run, file, batch):
    """Of all the images in `file`; the last batch is filled up with the first image."""
    images = np.load(file)
    filled = np.concatenate([images, np.repeat(images[:1], -len(images) % batch, 0)])
    parts = [np.array(run(filled[i : i + batch])) for i in range(0, len(filled), batch)]
    return np.concatenate(parts)[: len(images)]


def error(found, folder):
    """How far the reference images' logits lie from f64: the largest error by the image's largest logit, the root mean
    square of all errors by that of all logits, and whether the same five classes come first."""
    exact = np.load(folder / "logits.npy")
    apart = (np.abs(found - exact).max(1) / np.abs(exact).max(1)).max()
    rms = np.sqrt(np.square(found - exact).mean() / np.square(exact).mean())
    five = [np.argsort(-y, 1)[:, :5] for y in (found, exact)]
    return {"error": float(apart), "rms": float(rms), "same_five": bool((five[0] == five[1]).all())}


def verdict(found, folder):
    """Shares of the photographs whose class comes first, is among the first five, and that put first what f64 does."""
    exact, truth = np.load(folder / "photographs_logits.npy"), np.load(folder / "photographs_truth.npy")
    five = np.argsort(-found, 1)[:, :5]
    shares = {
        "top1": five[:, 0] == truth,
        "top5": (five == truth[:, None]).any(1),
        "agrees": five[:, 0] == exact.argmax(1),
    }
    return {name: float(share.mean()) for name, share in shares.items()}


def measure(run, batch, runs):
    """Milliseconds per image, on the input that `googlenet bench` makes."""
    x = (np.arange(batch * 3 * SIDE * SIDE) % 251 - 125).astype(np.float32).reshape(batch, 3, SIDE, SIDE)
    ms = []
    warm_up = max(3, runs // 10)
    for _ in range(warm_up + runs):
        begin = time.perf_counter()
        run(x)
        ms.append((time.perf_counter() - begin) * 1e3 / batch)
    return {"median_ms": float(np.median(ms[warm_up:])), "min_ms": min(ms[warm_up:])}


def main():
    name, folder, batch, threads, what = sys.argv[1:]
    folder, batch = Path(folder), int(batch)
    global SIDE, OUTPUT
    if (folder / "network.json").exists():
        SIDE, OUTPUT = json.loads((folder / "network.json").read_text())
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # some engines talk on standard output
    kind, precision = prepare.split(name)
    run, remark = globals()[kind](folder, batch, int(threads), precision)
    if what == "check":
        found = error(logits(run, folder / "input.npy", batch), folder)
        result = {"version": version(name.split("_")[0]), "remark": remark, **found}
    elif what == "judge":
        result = verdict(logits(run, folder / "photographs.npy", batch), folder)
    else:
        result = measure(run, batch, int(what))
    print(json.dumps(result), file=answer)


if __name__ == "__main__":
    main()
