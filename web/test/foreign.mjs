// The demonstration weights as other programs write them: a safetensors file, an ONNX graph and a `.caffemodel`, made of the
// network that the package describes and field by field from the definitions in `onnx.proto` and `caffe.proto`.

import { readFileSync } from "node:fs";
import { demo } from "./reference.mjs";

/** The names of the classes, which those files do not have. */
export const labels = JSON.parse(header(readFileSync(demo)).__metadata__.labels);

function header(file) {
    return JSON.parse(file.subarray(8, start(file)).toString());
}

/** Where a safetensors file's numbers begin. */
function start(file) {
    return 8 + Number(file.readBigUInt64LE(0));
}

/** The network's tensors: name, type, shape and bytes, which are f16. */
function tensors() {
    const file = readFileSync(demo);
    const { __metadata__, ...entries } = header(file);
    return Object.entries(entries)
        .filter(([name]) => /\.(weight|bias)$/.test(name)) // What quantising added is this project's own.
        .map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
            return { name, dtype, shape, bytes: file.subarray(start(file) + from, start(file) + to) };
        });
}

/** A safetensors file without this project's metadata. */
export function safetensors() {
    const entries = {};
    let end = 0;
    const data = tensors().map(({ name, dtype, shape, bytes }) => {
        entries[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
        end += bytes.length;
        return bytes;
    });
    const header = Buffer.from(JSON.stringify(entries));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header, ...data]);
}

/** An ONNX graph, with f16 elements. */
export function onnx(layers) {
    const attribute = (name, type, ...value) => bytes(5, bytes(1, name), number(20, type), ...value);
    const int = (name, value) => attribute(name, 2, number(3, value));
    const ints = (name, values) => attribute(name, 7, ...values.map((value) => number(8, value)));
    const window = ({ kernel, stride, pad }) => [
        ints("kernel_shape", Array(2).fill(kernel)),
        ints("strides", Array(2).fill(stride)),
        ints("pads", Array(4).fill(pad)),
    ];
    const node = (operator, inputs, output, ...attributes) =>
        bytes(1, ...inputs.map((input) => bytes(1, input)), bytes(2, output), bytes(4, operator), ...attributes);
    const parameters = (name) => [`${name}.weight`, `${name}.bias`];
    const write = {
        conv: ({ name, inputs, ...of }) => [
            node("Conv", [...inputs, ...parameters(name)], `${name}/sum`, ...window(of)),
            node("Relu", [`${name}/sum`], name),
        ],
        "max-pool": ({ name, inputs, ...of }) => [node("MaxPool", inputs, name, ...window(of), int("ceil_mode", 1))],
        "global-average": ({ name, inputs }) => [node("GlobalAveragePool", inputs, name)],
        lrn: ({ name, inputs }) => {
            const floats = Object.entries({ alpha: 1e-4, beta: 0.75, bias: 1 });
            return [node("LRN", inputs, name, int("size", 5), ...floats.map(([of, value]) => attribute(of, 1, float(2, value))))];
        },
        inception: ({ name, inputs }) => [node("Concat", inputs, name, int("axis", 1))],
        "fully-connected": ({ name, inputs }) => [
            node("Flatten", inputs, `${name}/flat`, int("axis", 1)),
            node("Gemm", [`${name}/flat`, ...parameters(name)], name, int("transB", 1)),
        ],
        softmax: ({ name, inputs }) => [node("Softmax", inputs, name, int("axis", 1))],
    };
    const initializers = tensors().map(({ name, shape, bytes: values }) =>
        bytes(5, ...shape.map((dim) => number(1, dim)), number(2, 10), bytes(8, name), bytes(9, values)),
    );
    const image = ["batch", 3, 224, 224].map((dim) => bytes(1, dim === "batch" ? bytes(2, dim) : number(1, dim)));
    const value = (tag, name, ...dims) => bytes(tag, bytes(1, name), bytes(2, bytes(1, number(1, 1), bytes(2, ...dims))));
    const all = nodes(layers);
    const graph = [...all.flatMap((one) => write[one.kind](one)), bytes(2, "googlenet"), ...initializers];
    graph.push(value(11, "data", ...image), value(12, all.at(-1).name));
    return Buffer.concat([number(1, 7), bytes(7, ...graph), bytes(8, number(2, 13))]);
}

/** A `.caffemodel` of the newer of Caffe's two message types. */
export function caffemodel(layers) {
    const stored = new Map(tensors().map((tensor) => [tensor.name, tensor]));
    const blobs = (name) =>
        ["weight", "bias"].map((part) => {
            const { shape, bytes: values } = stored.get(`${name}.${part}`);
            return bytes(7, bytes(7, bytes(1, ...shape.map((dim) => Buffer.from(varint(dim))))), bytes(5, singles(values)));
        });
    const layer = (type, name, inputs, output, ...rest) =>
        bytes(100, bytes(1, name), bytes(2, type), ...inputs.map((input) => bytes(3, input)), bytes(4, output), ...rest);
    const outputs = (name) => number(1, stored.get(`${name}.bias`).shape[0]);
    const write = {
        conv: ({ name, inputs, kernel, stride, pad }) => [
            layer("Convolution", name, inputs, name, ...blobs(name),
                bytes(106, outputs(name), number(3, pad), number(4, kernel), number(6, stride))),
            layer("ReLU", `${name}/relu`, [name], name),
        ],
        "max-pool": ({ name, inputs, kernel, stride, pad }) => [
            layer("Pooling", name, inputs, name, bytes(121, number(1, 0), number(2, kernel), number(3, stride), number(4, pad))),
        ],
        "global-average": ({ name, inputs }) => [
            layer("Pooling", name, inputs, name, bytes(121, number(1, 1), number(2, 7), number(3, 1))),
        ],
        lrn: ({ name, inputs }) => [
            layer("LRN", name, inputs, name, bytes(118, number(1, 5), float(2, 1e-4), float(3, 0.75))),
        ],
        inception: ({ name, inputs }) => [layer("Concat", name, inputs, name)],
        "fully-connected": ({ name, inputs }) => [
            layer("InnerProduct", name, inputs, name, ...blobs(name), bytes(117, outputs(name))),
        ],
        softmax: ({ name, inputs }) => [layer("Softmax", name, inputs, name)],
    };
    const all = nodes(layers).flatMap((one) => write[one.kind](one));
    return Buffer.concat([bytes(1, "GoogleNet"), layer("Input", "data", [], "data"), ...all]);
}

/** The layers in the order of computing, each with the names of what it reads and with its window, as Caffe's network has it. */
function nodes(layers) {
    const all = [];
    const add = (x, { name, kind, kernel, branches }) => {
        if (branches) {
            const inputs = branches.map((branch) => branch.reduce(add, x));
            all.push({ kind, name: `${name}/output`, inputs });
        } else {
            const stride = name.endsWith("_s2") ? 2 : 1;
            const pad = kind === "conv" || stride === 1 ? kernel >> 1 : 0;
            all.push({ kind, name, inputs: [x], kernel, stride, pad });
        }
        return all.at(-1).name;
    };
    layers.reduce(add, "data");
    return all;
}

/** The f32 that f16 stand for, none of which is infinite or no number. */
function singles(halves) {
    const out = Buffer.alloc(2 * halves.length);
    for (let i = 0; i < halves.length / 2; i++) {
        const half = halves.readUInt16LE(2 * i);
        const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
        const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
        out.writeFloatLE(half & 0x8000 ? -size : size, 4 * i);
    }
    return out;
}

// Fields of protocol buffers.

function varint(value) {
    return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

function number(tag, value) {
    return Buffer.from([...varint(8 * tag), ...varint(value)]);
}

function float(tag, value) {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    return Buffer.concat([Buffer.from(varint(8 * tag + 5)), bytes]);
}

/** A field that holds a text, bytes, or a message of fields. */
function bytes(tag, ...content) {
    const all = Buffer.concat(content.map((part) => Buffer.from(part)));
    return Buffer.concat([Buffer.from([...varint(8 * tag + 2), ...varint(all.length)]), all]);
}
