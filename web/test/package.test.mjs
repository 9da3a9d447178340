// The package under Node.js, where its module runs in the program's own thread.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Model } from "googlenet";
import { caffemodel, labels, onnx, safetensors } from "./foreign.mjs";
import { CLOSE, demo, distance, native, picture, real, references, web } from "./reference.mjs";

let model;
let expected;
before(async () => {
    model = await Model.demo();
    expected = native(demo);
});
after(() => model.close());

test("a model describes its network", () => {
    const { description, about } = model;
    assert.equal(description.labels[3], "cat");
    assert.deepEqual([description.side, description.classes, description.depth], [64, 10, 22]);
    const module = description.layers.find(({ name }) => name === "inception_3a");
    assert.deepEqual([module.kind, module.branches.length, module.shape], ["inception", 4, [256, 8, 8]]);
    const sum = description.layers.reduce((sum, layer) => sum + layer.parameters, 0);
    assert.equal(sum, description.parameters);
    assert.match(about.isa, /simd/);
});

test("input and logits are the native ones", async () => {
    const own = await Model.demo({ build: "simd128" });
    const session = await own.session();
    const [top] = await session.classify(picture(), 1);
    assert.equal(top.label, "cat");
    assert.equal(top.label, expected.label);
    assert.deepEqual([...(await session.input())], expected.input);
    const far = distance([...(await session.logits())], expected.logits);
    console.log(`simd128: logits within ${far.toExponential(1)} of the largest`);
    assert.ok(far <= CLOSE);
    await session.close();
    own.close();
});

test("a run takes a tensor, in batches, and gives the same whatever else is in the batch", async () => {
    const session = await model.session({ batch: 2 });
    const one = new Float32Array(expected.input);
    const logits = await session.run(new Float32Array([...one.map((x) => -x), ...one]));
    assert.equal(logits.length, 20);
    assert.ok(distance([...logits.subarray(10)], expected.logits) <= CLOSE);
    assert.notDeepEqual(logits.subarray(0, 10), logits.subarray(10));
    const [second] = await session.predictions(1, 1);
    assert.equal(second.label, "cat");
});

test("endpoints, class maps and times are the last run's", async () => {
    const session = await model.session({ endpoints: ["inception_4e", "pool5"], classMaps: true, profile: true });
    const [{ index }] = await session.classify(picture(), 1);
    const logits = await session.logits();
    const map = await session.classMap(index);
    assert.deepEqual(map.shape, session.description.classMapShape);
    const mean = map.values.reduce((sum, value) => sum + value, 0) / map.values.length;
    assert.ok(Math.abs(mean + map.bias - logits[index]) < 1e-4);
    const { shape, values } = await session.endpoint("inception_4e");
    assert.deepEqual([shape, values.length], [[832, 4, 4], 832 * 16]);
    assert.ok(values.every((value) => value >= 0) && values.some((value) => value > 0));
    assert.equal((await session.endpoint("pool5")).values.length, 1024);
    const times = await session.profile();
    assert.ok(times.some(({ layers, milliseconds }) => layers.startsWith("conv1") && milliseconds > 0));
    await session.resetProfile();
    assert.ok((await session.profile()).every(({ milliseconds }) => milliseconds === 0));
});

test("calls that do not wait for each other get their own answers", async () => {
    const session = await model.session();
    const cat = picture();
    const other = { ...cat, data: cat.data.map((value) => 255 - value) };
    const alone = [await session.classify(cat), await session.classify(other)];
    assert.notDeepEqual(alone[0], alone[1]);
    const calls = [session.classify(cat), session.classify(other), session.predictions(), session.classify(cat)];
    assert.deepEqual(await Promise.all(calls), [alone[0], alone[1], alone[1], alone[0]]);
    // Inputs of one value each.
    const inputs = [0.1, 0.5].map((value) => new Float32Array(expected.input.length).fill(value));
    const logits = [await session.run(inputs[0]), await session.run(inputs[1])];
    assert.notDeepEqual(logits[0], logits[1]);
    assert.deepEqual(await Promise.all(inputs.map((input) => session.run(input))), logits);
    // A call that fails leaves the others alone.
    const broken = { width: 2, height: 2, data: new Uint8Array(15) };
    const [first, second, third] = await Promise.allSettled([cat, broken, other].map((one) => session.classify(one)));
    assert.match(second.reason.message, /15 bytes/);
    assert.deepEqual([first.value, third.value], alone);
    // What was asked before the end is done.
    const [last] = await Promise.all([session.classify(cat), session.close()]);
    assert.deepEqual(last, alone[0]);
});

test("files of other programs are imported", async () => {
    const { layers } = model.description;
    for (const [kind, bytes] of Object.entries({ safetensors: safetensors(), onnx: onnx(layers), caffemodel: caffemodel(layers) })) {
        const imported = await Model.open(bytes, { labels });
        const { dialect, side } = imported.description;
        assert.deepEqual([dialect, side, imported.description.labels], ["bvlc", 224, labels], kind);
        const session = await imported.session({ side: 64 });
        // The tensors are the same, though the preprocessing that is taken for them is Caffe's.
        assert.ok(distance([...(await session.run(new Float32Array(expected.input)))], expected.logits) <= CLOSE, kind);
        imported.close();
    }
});

test("an ONNX graph gives the reference's logits", { skip: !real && "no real weights here" }, async () => {
    const imported = await Model.open(readFileSync(join(real, "bvlc_googlenet.onnx")));
    const session = await imported.session();
    // The native library is held to the same logits by tests/promised.
    for (const { input, logits } of references(2)) {
        const far = distance([...(await session.run(input))], logits);
        console.log(`bvlc: logits within ${far.toExponential(1)} of the largest`);
        assert.ok(far <= CLOSE);
    }
    imported.close();
});

test("what cannot be done is an error that says why", async () => {
    const refused = (work, message) => assert.rejects(work, (error) => message.test(error.message));
    await refused(Model.open(new Uint8Array(0)), /./);
    // With the causes: the decoder's words, the parser's.
    await refused(Model.open(new TextEncoder().encode("neither")), /no ONNX model or \.caffemodel: ./);
    const header = new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0, ...new TextEncoder().encode("{!")]);
    await refused(Model.open(header), /damaged safetensors file: header is not a safetensors header: .+ line 1 column 2/);
    const damaged = Uint8Array.from(readFileSync(demo));
    damaged[damaged.length - 1] ^= 1;
    await refused(Model.open(damaged), /hash/);
    await refused(Model.open(readFileSync(demo), { labels: [] }), /its own labels/);
    await refused(Model.open(safetensors(), { preset: "none" }), /short-side/);
    await refused(Model.demo({ threads: 2 }), /threads: 2, expected 1 to 1/);
    await refused(Model.open(new URL("no-such-file", import.meta.url)), /no such file/i);
    await refused(model.session({ endpoints: ["inception_9z"] }), /inception_9z/);
    await refused(model.session({ side: 16 }), /16/);
    await refused(model.session({ isa: "avx2" }), /avx2/);
    await refused(model.session({ speed: "high" }), /speed/);
    const session = await model.session();
    await refused(session.run(new Float32Array(3)), /12288 values, these are 3/);
    await refused(session.prepare({ width: 2, height: 2, data: new Uint8Array(15) }), /15 bytes/);
    await refused(session.prepare({ width: 0, height: 0, data: new Uint8Array(0) }), /./);
    await refused(session.prepare({ width: 1, height: 1, data: new Uint8Array(4) }, 1), /image 1/);
    await refused(session.endpoint("pool5"), /pool5/);
    await refused(session.classMap(0), /class map/);
    await session.close();
    await refused(session.run(), /closed/);
    // None of that harmed the module.
    const after = await model.session();
    assert.equal((await after.classify(picture(), 1))[0].label, "cat");
});

test("nothing is answered when a model is closed", async () => {
    const own = await Model.demo();
    const session = await own.session();
    await session.classify(picture());
    own.close();
    own.close();
    const closed = (work) => assert.rejects(work, /^Error: the model is closed$/);
    await Promise.all([closed(own.session()), closed(session.run()), closed(session.logits()), closed(session.classify(picture()))]);
    // Others are there.
    await (await model.session()).close();
});

test("the folder is a package, with types for Node.js and a licence", () => {
    const folder = mkdtempSync(join(tmpdir(), "googlenet-package-"));
    try {
        const npm = ["pack", "--json", "--offline", "--pack-destination", folder, join(web, "dist", "package")];
        const [{ filename, files }] = JSON.parse(execFileSync("npm", npm, { stdio: ["ignore", "pipe", "ignore"] }).toString());
        for (const name of ["LICENSE", "README.md", "package.json", "index.js", "index.d.ts", "demo.safetensors"]) {
            assert.ok(files.some(({ path }) => path === name), name);
        }
        const installed = join(folder, "node_modules", "googlenet");
        mkdirSync(installed, { recursive: true });
        execFileSync("tar", ["-xzf", join(folder, filename), "-C", installed, "--strip-components=1"]);
        const program = `import { Model } from "googlenet";
            import type { Picture, Prediction } from "googlenet";
            const picture: Picture = { width: 1, height: 1, data: new Uint8Array(4) };
            const session = await (await Model.demo()).session({ profile: true });
            const found: Prediction[] = await session.classify(picture, 3);
            // @ts-expect-error: types that are not found would allow anything
            const wrong: string = found[0]!.probability;
            console.log(found.length, typeof wrong);`;
        writeFileSync(join(folder, "program.mts"), program);
        const tsc = join(web, "node_modules", "typescript", "bin", "tsc");
        const options = ["--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--types", "", "--strict"];
        const compiled = spawnSync(process.execPath, [tsc, ...options, "program.mts"], { cwd: folder, encoding: "utf8" });
        assert.equal(compiled.stdout + compiled.stderr, "");
        const out = execFileSync(process.execPath, ["program.mjs"], { cwd: folder, encoding: "utf8" });
        assert.equal(out, "3 number\n");
    } finally {
        rmSync(folder, { recursive: true });
    }
});
