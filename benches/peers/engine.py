"""One engine in one process: `engine.py NAME FOLDER BATCH THREADS check|RUNS` prints a line of JSON.

`check` gives the version and how far the logits lie from the f64 reference; a number of runs gives times per image.
FOLDER holds what `compare.py` put there. An engine is a function of the folder, the batch and the threads; it returns
a function from images, f32 [batch, 3, SIDE, SIDE], to logits, [batch, 1000], and a remark for the table.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

# Of GoogLeNet; those of another network stand in its folder's network.json.
SIDE, OUTPUT = 224, "loss3/classifier"


def onnxruntime(folder, batch, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    return lambda x: session.run([OUTPUT], {"data": x})[0], "as it comes"


def openvino(folder, batch, threads, precision="f32"):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(folder / "model.onnx")
    model.reshape([batch, 3, SIDE, SIDE])
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()

    def run(x):
        request.infer([x], share_inputs=True)
        return request.get_tensor(OUTPUT).data

    kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return run, f"{kind}, latency hint, one stream"


def openvino_default(folder, batch, threads):
    run, remark = openvino(folder, batch, threads, precision=None)
    return run, f"default precision: {remark}"


def openvino_streams(folder, batch, threads):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(folder / "model.onnx")
    model.reshape([1, 3, SIDE, SIDE])
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}
    queue = ov.AsyncInferQueue(core.compile_model(model, "CPU", config), threads)
    logits = np.empty((batch, 1000), np.float32)
    queue.set_callback(lambda request, i: logits.__setitem__(i, request.get_tensor(OUTPUT).data[0]))

    def run(x):
        for i in range(batch):
            queue.start_async([x[i : i + 1]], i, share_inputs=True)
        queue.wait_all()
        return logits

    return run, "f32, a stream an image"


def ncnn(folder, batch, threads):
    import ncnn

    # Faster than its own batches, and no slower than all threads on one image after the other.
    per_image = batch > 1 and threads > 1
    net = ncnn.Net()
    net.opt.num_threads = 1 if per_image else threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(folder / "model.ncnn.param")) or net.load_model(str(folder / "model.ncnn.bin")):
        raise RuntimeError("the model does not load")

    def image(x):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(x))
        return extractor.extract("out1")[1].numpy()

    each = ThreadPoolExecutor(threads).map if per_image else map
    return lambda x: np.stack(list(each(image, x))), "fp16 off, a thread an image" if per_image else "fp16 off"


def mnn(folder, batch, threads):
    import MNN

    net = MNN.Interpreter(str(folder / "model.mnn"))
    session = net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    shape = (batch, 3, SIDE, SIDE)
    data = net.getSessionInput(session, "data")
    net.resizeTensor(data, shape)
    net.resizeSession(session)
    logits = net.getSessionOutput(session, OUTPUT)

    def run(x):
        data.copyFrom(MNN.Tensor(shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe))
        net.runSession(session)
        return logits.getNumpyData().reshape(batch, -1)

    return run, "precision high"


def check(run, folder, batch):
    """The `error` of all the reference images."""
    images, exact = np.load(folder / "input.npy"), np.load(folder / "logits.npy")
    parts = [images[i : i + batch] for i in range(0, len(images), batch)]
    return error(np.concatenate([np.array(run(part)) for part in parts]), exact)


def error(logits, exact):
    """Largest error of a logit, by the largest logit of its image; and whether the five best are those of `exact`."""
    largest = np.abs(exact).max(1)
    apart = (np.abs(logits - exact).max(1) / largest).max()
    top5 = [np.argsort(-y, 1)[:, :5] for y in (logits, exact)]
    return {"error": float(apart), "top5": bool((top5[0] == top5[1]).all())}


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
    run, remark = globals()[name](folder, batch, int(threads))
    if what == "check":
        result = {"version": version(name.split("_")[0]), "remark": remark, **check(run, folder, batch)}
    else:
        result = measure(run, batch, int(what))
    print(json.dumps(result), file=answer)


if __name__ == "__main__":
    main()
