"""What the libraries that published weights were judged with make of pictures that a formula gives.

    python -m venv oracles && oracles/bin/pip install torch torchvision opencv-python-headless numpy
    oracles/bin/python tests/oracles/preprocess.py            # rewrites preprocess.json beside this file
    oracles/bin/python tests/oracles/preprocess.py --check    # compares with it instead

For each preset and picture: the FNV-1a hash of the crop's bytes, where the original has bytes, and some values of the
tensor. `crops` has the hashes of Caffe's ten crops, by a restatement of its `oversample`; `paper` for each short side
that of every 97th byte of the paper's 36 crops, by Pillow. `tests/preprocessing.rs` has the same pictures.
"""

import json
import pathlib
import sys
import warnings

import cv2
import numpy as np
from PIL import Image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchvision
    from torchvision.models import GoogLeNet_Weights
    from torchvision.transforms import functional as F

PILLOW_RESIZE = Image.Image.resize


def horizontally_first(image, size, resample=Image.BICUBIC, *rest):
    """Pillow up to 12 resizes rows, then columns; 13 chooses by the shape, which may move a value by one level."""
    rows = PILLOW_RESIZE(image, (size[0], image.height), resample)
    return PILLOW_RESIZE(rows, tuple(size), resample)


Image.Image.resize = horizontally_first

FILE = pathlib.Path(__file__).with_name("preprocess.json")
SIDE = 224
# Landscape, portrait, halved exactly, odd margins, enlarged, as it is, one pixel.
SIZES = [(640, 480), (375, 500), (512, 512), (448, 448), (257, 301), (347, 256), (100, 180), (256, 256), (224, 224), (1, 1)]
SAMPLES = 24


def pattern(width, height):
    """RGB, [height, width, 3]."""
    y, x, c = np.indices((height, width, 3), dtype=np.int64)
    return (x * 37 + y * 59 + c * 83 + x * y * 11 + x * x // 7 * (y + 3)).astype(np.uint8)


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data.tobytes():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def caffe(bgr):
    return (bgr.astype(np.float32) - np.float32([104, 117, 123])).transpose(2, 0, 1)


def middle(image, side):
    """As Caffe's data layer has it: integer halves."""
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def short_side(rgb):
    """The short side to 256, the long one rounded, by Pillow."""
    height, width = rgb.shape[:2]
    scale = 256 / min(width, height)
    size = (256, round(height * scale)) if width <= height else (round(width * scale), 256)
    crop = middle(np.asarray(Image.fromarray(rgb).resize(size, Image.BILINEAR)), SIDE)
    return crop, caffe(crop[..., ::-1])


def bvlc(rgb):
    """convert_imageset --resize_width=256 --resize_height=256, then the data layer's crop."""
    crop = middle(cv2.resize(np.ascontiguousarray(rgb[..., ::-1]), (256, 256)), SIDE)
    return crop[..., ::-1], caffe(crop)


def bvlc_cpp(rgb):
    """examples/cpp_classification/classification.cpp."""
    crop = cv2.resize(np.ascontiguousarray(rgb[..., ::-1]), (SIDE, SIDE))
    return crop[..., ::-1], caffe(crop)


def onnx_zoo(rgb):
    """The example beside the ONNX model zoo's GoogLeNet; Pillow's default filter is bicubic."""
    crop = np.array(Image.fromarray(rgb).resize((SIDE, SIDE)))
    means = np.float32([123.68, 116.779, 103.939])
    return crop, (crop.astype(np.float32) - means)[..., ::-1].transpose(2, 0, 1)


def tv(rgb):
    """The weights' own transforms, then the network's `transform_input`."""
    image = Image.fromarray(rgb)
    crop = np.asarray(F.center_crop(F.resize(image, [256]), [SIDE]))
    x = GoogLeNet_Weights.IMAGENET1K_V1.transforms()(image).unsqueeze(0)
    return crop, NETWORK._transform_input(x)[0].numpy()


def tf_slim(rgb):
    """preprocess_for_eval of slim's inception_preprocessing.py, every operation in f32."""
    image = rgb.astype(np.float32) * np.float32(1 / 255)
    height, width = image.shape[:2]
    top, left = int((height - height * 0.875) / 2), int((width - width * 0.875) / 2)
    image = image[top : height - top, left : width - left]

    def taps(n):
        at = np.arange(SIDE, dtype=np.float32) * np.float32(n / np.float32(SIDE))
        first = np.floor(at).astype(np.int64)
        return first, np.minimum(first + 1, n - 1), at - np.floor(at)

    (y0, y1, fy), (x0, x1, fx) = taps(image.shape[0]), taps(image.shape[1])
    fy, fx = fy[:, None, None], fx[None, :, None]
    upper = image[y0][:, x0] + (image[y0][:, x1] - image[y0][:, x0]) * fx
    lower = image[y1][:, x0] + (image[y1][:, x1] - image[y1][:, x0]) * fx
    image = upper + (lower - upper) * fy
    assert image.dtype == np.float32
    return None, ((image - np.float32(0.5)) * np.float32(2)).transpose(2, 0, 1)


def oversample(image, side):
    """caffe.io.oversample of one picture: four corners, centre, the five mirrored."""
    size = np.array(image.shape[:2])
    corners = [(y, x) for y in (0, size[0] - side) for x in (0, size[1] - side)]
    centre = tuple((size / 2.0 - side / 2.0).astype(int))
    crops = [image[y : y + side, x : x + side] for y, x in [*corners, centre]]
    return crops + [crop[:, ::-1] for crop in crops]


def paper(rgb, resize):
    """Szegedy et al. 2014, section 7, for one short side."""
    height, width = rgb.shape[:2]
    scale = resize / min(width, height)
    size = (resize, round(height * scale)) if width <= height else (round(width * scale), resize)
    image = np.asarray(Image.fromarray(rgb).resize(size, Image.BILINEAR))
    long = max(size)
    for start in (0, (long - resize) // 2, long - resize):
        square = image[start : start + resize] if width <= height else image[:, start : start + resize]
        far, centre = resize - SIDE, (resize - SIDE) // 2
        places = [(0, 0), (0, far), (far, 0), (far, far), (centre, centre)]
        crops = [square[y : y + SIDE, x : x + SIDE] for y, x in places]
        crops.append(np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.BILINEAR)))
        yield from crops
        yield from (crop[:, ::-1] for crop in crops)


PRESETS = {
    "short-side": short_side,
    "bvlc": bvlc,
    "bvlc-cpp": bvlc_cpp,
    "onnx-zoo": onnx_zoo,
    "torchvision": tv,
    "tf-slim": tf_slim,
}


def main():
    cases, crops, papers = [], [], []
    for width, height in SIZES:
        rgb = pattern(width, height)
        for preset, prepare in PRESETS.items():
            crop, tensor = prepare(rgb)
            assert tensor.shape == (3, SIDE, SIDE)
            places = [(k * 7919 + 13) % tensor.size for k in range(SAMPLES)]
            values = [float(np.float32(tensor.reshape(-1)[place])) for place in places]
            hashed = fnv(np.ascontiguousarray(crop)) if crop is not None else None
            cases.append({"preset": preset, "size": [width, height], "bytes": hashed, "values": values})
        warped = cv2.resize(rgb, (256, 256))
        hashes = [fnv(np.ascontiguousarray(crop)) for crop in oversample(warped, SIDE)]
        crops.append({"size": [width, height], "bytes": hashes})
    for width, height in [(400, 300), (251, 377), (90, 90), (40, 900)]:
        rgb = pattern(width, height)
        hashes = []
        for resize in (256, 288, 320, 352):
            sampled = [np.ascontiguousarray(crop).reshape(-1)[::97] for crop in paper(rgb, resize)]
            hashes.append(fnv(np.concatenate(sampled)))
        papers.append({"size": [width, height], "bytes": hashes})
    lines = [json.dumps(case) for case in cases]
    text = '{"cases": [\n' + ",\n".join(lines) + '\n], "crops": [\n'
    text += ",\n".join(json.dumps(case) for case in crops) + '\n], "paper": [\n'
    text += ",\n".join(json.dumps(case) for case in papers) + "\n]}\n"
    if "--check" in sys.argv:
        assert FILE.read_text() == text, f"{FILE} is not what these libraries make"
        print(f"{FILE.name}: the same again")
    else:
        FILE.write_text(text)


if __name__ == "__main__":
    NETWORK = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False, transform_input=True)
    main()
