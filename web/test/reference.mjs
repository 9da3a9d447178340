// What tests compare with: the native library's results, made when a test runs, and pictures and files of the repository.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const web = join(dirname(fileURLToPath(import.meta.url)), "..");
export const root = join(web, "..");
export const demo = join(root, "weights", "demo.safetensors");
const cat = join(root, "tests", "c", "cat.ppm");

/** The real weights, which are no part of the repository; undefined where they are not. */
export const real = [join(root, "..", "shared", "googlenet")].find((folder) => existsSync(folder));

/** A picture of a cat as pixels of four bytes. */
export function picture() {
    const file = readFileSync(cat);
    const [, width, height] = /^P6\s(\d+)\s(\d+)\s255\s/.exec(file.subarray(0, 32).toString("latin1")).map(Number);
    const rgb = file.subarray(file.length - 3 * width * height);
    const data = new Uint8ClampedArray(4 * width * height).fill(255);
    for (let pixel = 0; pixel < width * height; pixel++) data.set(rgb.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    return { width, height, data };
}

/** The native library's input, logits and label for that picture, on the portable set. */
export function native(weights) {
    const cargo = ["cargo", "run", "--quiet", "--locked", "--package", "googlenet-web", "--example", "reference", "--"];
    // Where it is built already, that takes minutes less.
    const [program, ...options] = process.env.GOOGLENET_REFERENCE ? [process.env.GOOGLENET_REFERENCE] : cargo;
    const out = execFileSync(program, [...options, weights, cat], { cwd: root, maxBuffer: 1 << 28 });
    return JSON.parse(out.toString());
}

/** The first `count` inputs of the real weights' reference, and another engine's logits for them. */
export function references(count) {
    const file = readFileSync(join(real, "reference.safetensors"));
    const length = Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.subarray(8, 8 + length).toString());
    const values = (name, type, i, size) => {
        const from = 8 + length + header[name].data_offsets[0] + i * size * type.BYTES_PER_ELEMENT;
        return new type(Uint8Array.from(file.subarray(from, from + size * type.BYTES_PER_ELEMENT)).buffer);
    };
    return Array.from({ length: count }, (_, i) => ({
        input: Float32Array.from(values("input", Int16Array, i, 3 * 224 * 224)),
        logits: [...values("logits", Float32Array, i, 1000)],
    }));
}

/** The largest difference of two lists, in parts of the second's largest value. */
export function distance(got, expected) {
    if (got.length !== expected.length) return Infinity;
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]) / largest), 0);
}

/** As the issue of the browser asks: logits this close to the native portable ones. */
export const CLOSE = 2e-5;
