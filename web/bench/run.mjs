// `npm run bench -- WEIGHTS.onnx`: this package beside onnxruntime-web's WebAssembly, one thread each, the same weights and
// input, by turns in one page of one Chromium. Probabilities are compared first, and have to be the same within 1e-4 of the
// largest. Without an argument it takes the real weights beside the repository. It prints medians in milliseconds, and fails
// where ours is above 0.6 of the other, or what `--most R` says.

import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "../tools/chromium.mjs";
import { serve } from "../tools/serve.mjs";

const web = join(dirname(fileURLToPath(import.meta.url)), "..");
const values = process.argv.slice(2);
const at = values.indexOf("--most");
const most = at < 0 ? 0.6 : Number(values.splice(at, 2)[1]);
const weights = resolve(values[0] ?? join(web, "../../shared/googlenet/bvlc_googlenet.onnx"));
const server = await serve({
    "/": join(web, "bench") + "/",
    "/package/": join(web, "dist", "package"),
    "/ort/": join(web, "node_modules", "onnxruntime-web", "dist"),
    "/weights/": dirname(weights) + "/",
});
const browser = await launch();
try {
    const page = await browser.newPage();
    await page.goto(server.url);
    const result = await page.evaluate(measure, { url: `/weights/${weights.split("/").at(-1)}`, rounds: 10, runs: 3 });
    console.log(result.browser);
    for (const [name, { median, least, difference }] of Object.entries(result.engines)) {
        const off = difference === undefined ? "" : `, probabilities within ${difference.toExponential(1)} of onnxruntime-web's`;
        console.log(`${name.padEnd(24)} median ${median.toFixed(1)} ms, least ${least.toFixed(1)} ms${off}`);
    }
    const { engines } = result;
    const ours = Math.min(engines["googlenet simd128"].median, engines["googlenet relaxed"].median);
    const ratio = ours / engines["onnxruntime-web"].median;
    console.log(`ratio ${ratio.toFixed(3)}`);
    for (const { layers, milliseconds, kernel } of result.layers) {
        console.log(`  ${milliseconds.toFixed(2).padStart(6)} ms  ${layers.slice(0, 70).padEnd(70)} ${kernel}`);
    }
    if (!(ratio <= most)) throw new Error(`the ratio is ${ratio.toFixed(3)}, expected at most ${most}`);
} finally {
    await browser.close();
    await server.close();
}

/** Runs in the page. */
async function measure({ url, rounds, runs }) {
    const { Model } = await import("/package/index.js");
    const ort = await import("/ort/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = "/ort/";
    ort.env.wasm.numThreads = 1;
    const peer = await ort.InferenceSession.create(url, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
    const side = 224;
    const input = Float32Array.from({ length: 3 * side * side }, (_, i) => 100 * Math.sin(i * 0.37) * Math.cos(i * 0.011));
    const tensor = new ort.Tensor("float32", input, [1, 3, side, side]);
    const sessions = {};
    for (const build of ["simd128", "relaxed"]) {
        const model = await Model.open(new URL(url, location.href), { build, threads: 1 });
        sessions[build] = await model.session({ profile: true });
    }
    const engines = {
        "onnxruntime-web": async () => (await peer.run({ [peer.inputNames[0]]: tensor }))[peer.outputNames[0]].data,
        "googlenet simd128": () => sessions.simd128.run(input),
        "googlenet relaxed": () => sessions.relaxed.run(input),
    };
    const times = {};
    const differences = {};
    let expected;
    for (const [name, run] of Object.entries(engines)) {
        let got = await run();
        // The graph ends with a softmax: the peer's output are probabilities.
        if (name !== "onnxruntime-web") got = await sessions[name.split(" ")[1]].probabilities();
        expected ??= got;
        const largest = expected.reduce((a, b) => Math.max(a, b), 0);
        differences[name] = got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]) / largest), 0);
        if (got.length !== expected.length || !(differences[name] <= 1e-4)) {
            throw new Error(`${name}: probabilities differ by ${differences[name]} of the largest`);
        }
        times[name] = [];
    }
    for (let round = 0; round < rounds; round++) {
        for (const [name, run] of Object.entries(engines)) {
            for (let i = 0; i < runs; i++) {
                if (name === "googlenet relaxed" && i === runs - 1) await sessions.relaxed.resetProfile();
                const start = performance.now();
                await run();
                times[name].push(performance.now() - start);
            }
        }
    }
    const summary = (name) => {
        const sorted = times[name].sort((a, b) => a - b);
        const difference = name === "onnxruntime-web" ? undefined : differences[name];
        return { median: sorted[sorted.length >> 1], least: sorted[0], difference };
    };
    return {
        browser: navigator.userAgent,
        engines: Object.fromEntries(Object.keys(engines).map((name) => [name, summary(name)])),
        layers: (await sessions.relaxed.profile()).sort((a, b) => b.milliseconds - a.milliseconds).slice(0, 25),
    };
}
