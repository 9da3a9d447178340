// The built page in the distribution's Chromium.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "../tools/chromium.mjs";
import { serve } from "../tools/serve.mjs";
import { caffemodel, onnx, safetensors } from "./foreign.mjs";
import { oriented, plain, png } from "./pictures.mjs";
import { CLOSE, demo, distance, native, picture, root, web } from "./reference.mjs";

const shots = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "web", "screenshots");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let browser;
let server;
let folder;
before(async () => {
    folder = mkdtempSync(join(tmpdir(), "googlenet-page-"));
    mkdirSync(shots, { recursive: true });
    server = await serve({ "/": join(web, "dist", "page"), "/package/": join(web, "dist", "package") });
    browser = await launch("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream");
});
after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true });
});

/** The page, opened and with its weights loaded; fails at the end if the page reported an error. */
async function opened(options = {}, url = server.url) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await page.goto(url);
    await page.waitForSelector("#network button");
    const close = async () => {
        await context.close();
        assert.deepEqual(errors, []);
    };
    return { page, context, close };
}

const runs = (page) => page.evaluate(() => Number(document.body.dataset.runs ?? 0));
const ran = (page, before) => page.waitForFunction((before) => Number(document.body.dataset.runs) > before, before);

/** Does something after which the page runs the network once more. */
async function running(page, work) {
    const before = await runs(page);
    await work();
    await ran(page, before);
}

/** Drops a file on the page, as a person does; or pastes it. */
async function bring(page, file, name, type, kind = "drop") {
    const bytes = [...file];
    await page.evaluate(
        ({ bytes, name, type, kind }) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type }));
            const event =
                kind === "drop"
                    ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                    : new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
            document.querySelector("#stage").dispatchEvent(event);
        },
        { bytes, name, type, kind },
    );
}

const sample = readFileSync(join(root, "weights", "chelsea.png"));
const blue = png(plain(64, 64, 40, 90, 200));
const label = (page) => page.locator("#labels li").first().innerText();

test("a picture that is dropped is named", async () => {
    const { page, close } = await opened();
    await running(page, () => bring(page, sample, "chelsea.png", "image/png"));
    assert.match(await label(page), /^cat\s/);
    assert.equal(await page.locator("#spoken").innerText().then((text) => /^cat, \d+ percent/.test(text)), true);
    assert.ok((await page.locator("#times li").count()) > 15);
    assert.match(await page.locator("#total").innerText(), /^\d+\.\d ms/);
    // The class map has colour over the middle of the picture.
    const opaque = await page.evaluate(() => {
        const map = document.querySelector("#map");
        const { data } = map.getContext("2d").getImageData(0, 0, map.width, map.height);
        return data.filter((_, i) => i % 4 === 3).reduce((sum, alpha) => sum + (alpha > 0), 0) / (map.width * map.height);
    });
    assert.ok(opaque > 0.3, `${opaque}`);
    await close();
});

test("a picture that is pasted is named", async () => {
    const { page, close } = await opened();
    await running(page, () => bring(page, sample, "pasted.png", "image/png", "paste"));
    assert.match(await label(page), /^cat\s/);
    await close();
});

test("a screen reader is told what the last of two pictures is", async () => {
    const { page, close } = await opened();
    await running(page, () => bring(page, sample, "chelsea.png", "image/png"));
    await running(page, () => bring(page, blue, "blue.png", "image/png"));
    const [name] = (await page.locator("#labels .name").first().innerText()).split(",");
    assert.notEqual(name, "cat");
    assert.match(await page.locator("#spoken").innerText(), new RegExp(`^${name}, \\d+ percent`));
    await close();
});

test("the camera's pictures are looked at one after the other", async () => {
    const { page, close } = await opened({ permissions: ["camera"] });
    await page.click("#camera");
    await ran(page, 4);
    assert.equal(await page.getAttribute("#camera", "aria-pressed"), "true");
    assert.equal(await page.locator("#labels li").count(), 5);
    await page.click("#camera");
    assert.equal(await page.getAttribute("#camera", "aria-pressed"), "false");
    await close();
});

test("a person is asked for the camera once, and may think better of it", async () => {
    const { page, close } = await opened({ permissions: ["camera"] });
    await page.evaluate(() => {
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        const asked = [];
        globalThis.asked = asked;
        navigator.mediaDevices.getUserMedia = async (what) => {
            const question = { tracks: [] };
            asked.push(question);
            await new Promise((resolve) => (question.answer = resolve));
            const stream = await ask(what);
            question.tracks = stream.getTracks();
            return stream;
        };
    });
    const answer = (at) => page.evaluate((at) => globalThis.asked[at].answer(), at);
    /** Of each time that the page asked, the states of what it was given. */
    const states = () => page.evaluate(() => globalThis.asked.map(({ tracks }) => tracks.map(({ readyState }) => readyState)));
    const camera = page.locator("#camera");
    await camera.click();
    // A script's click: Playwright's would wait until the button is not disabled.
    await camera.evaluate((button) => button.click());
    assert.equal(await camera.getAttribute("aria-disabled"), "true");
    assert.deepEqual(await states(), [[]]);
    await running(page, () => answer(0));
    assert.deepEqual([await camera.getAttribute("aria-pressed"), await states()], ["true", [["live"]]]);
    await camera.click();
    assert.deepEqual([await camera.getAttribute("aria-pressed"), await states()], ["false", [["ended"]]]);
    // A picture that is brought meanwhile is looked at, and goes on to be.
    await camera.click();
    await running(page, () => bring(page, sample, "chelsea.png", "image/png"));
    await answer(1);
    await page.waitForFunction(() => globalThis.asked[1].tracks.some(({ readyState }) => readyState === "ended"));
    assert.equal(await camera.getAttribute("aria-pressed"), "false");
    assert.equal(await page.getAttribute("#picture", "aria-label"), "chelsea.png");
    // A stream that does not play is an error, and the camera is off.
    await page.evaluate(() => (HTMLMediaElement.prototype.play = () => Promise.reject(new Error("it does not play"))));
    await camera.click();
    await answer(2);
    await page.waitForSelector("#problem:not([hidden])");
    assert.equal(await page.locator("#problem").innerText(), "the camera cannot be used: it does not play");
    assert.deepEqual((await states())[2], ["ended"]);
    assert.equal(await camera.getAttribute("aria-pressed"), "false");
    await close();
});

test("a layer's activations and another class's map are shown when they are chosen, by keyboard too", async () => {
    const { page, close } = await opened();
    await running(page, () => page.click("#sample"));
    const module = page.locator('[data-layer="inception_4a"]');
    await module.focus();
    await running(page, () => page.keyboard.press("Enter"));
    await page.waitForSelector("#activations:not([hidden])");
    assert.equal(await module.getAttribute("aria-pressed"), "true");
    assert.match(await page.locator("#activations-note").innerText(), /64 strongest of 512/);
    const different = await page.evaluate(() => {
        const maps = document.querySelector("#maps");
        const { data } = maps.getContext("2d").getImageData(0, 0, maps.width, maps.height);
        return new Set(new Uint32Array(data.buffer)).size;
    });
    assert.ok(different > 50, `${different} colours`);
    const second = page.locator("#labels button").nth(1);
    await second.focus();
    await page.keyboard.press("Space");
    await page.waitForFunction(() => document.querySelectorAll("#labels button")[1].ariaPressed === "true");
    // The classifier's values have no maps.
    await running(page, () => page.click('[data-layer="pool5/7x7_s1"]'));
    assert.match(await page.locator("#activations-note").innerText(), /1024 values/);
    await running(page, () => page.click('[data-layer="pool5/7x7_s1"]'));
    assert.equal(await page.locator("#activations").isHidden(), true);
    await close();
});

test("weights from disk are used, and what is none is refused in words", async () => {
    const { page, close } = await opened();
    await running(page, () => page.click("#sample"));
    const path = join(folder, "other.safetensors");
    writeFileSync(path, safetensors());
    await running(page, () => page.setInputFiles("#open", path));
    assert.match(await page.locator("#model").innerText(), /^other\.safetensors: googlenet \(bvlc\), 10 classes/);
    assert.match(await label(page), /^class \d/);
    const names = Array.from({ length: 10 }, (_, i) => `n0000000${i} thing ${i}`).join("\n");
    await page.setInputFiles("#names", { name: "names.txt", mimeType: "text/plain", buffer: Buffer.from(names) });
    await page.waitForFunction(() => document.querySelector("#labels").innerText.startsWith("thing"));
    // Those are the names of these weights' classes, and of no others that follow.
    const { layers } = await page.evaluate(async () => (await (await import("/package/index.js")).Model.demo()).description);
    for (const [name, bytes] of [["other.caffemodel", caffemodel(layers)], ["another.onnx", onnx(layers)]]) {
        const path = join(folder, name);
        writeFileSync(path, bytes);
        await running(page, () => page.setInputFiles("#open", path));
        assert.ok((await page.locator("#model").innerText()).startsWith(`${name}: googlenet (bvlc), 10 classes`));
        assert.match(await label(page), /^class \d/);
    }
    await page.setInputFiles("#open", { name: "x.onnx", mimeType: "application/octet-stream", buffer: Buffer.from("neither") });
    await page.waitForSelector("#problem:not([hidden])");
    assert.match(await page.locator("#problem").innerText(), /no ONNX model/);
    assert.match(await page.locator("#model").innerText(), /^another\.onnx/);
    await running(page, () => page.click("#demo"));
    assert.match(await label(page), /^cat\s/);
    await close();
});

test("every build computes the native logits, with threads as without", async () => {
    const { page, close } = await opened();
    const expected = native(demo);
    const { width, height, data } = picture();
    const results = await page.evaluate(
        async ({ width, height, data, url }) => {
            const { Model } = await import(url);
            const made = [];
            for (const build of ["simd128", "relaxed"]) {
                for (const threads of [1, 2]) {
                    const model = await Model.demo({ build, threads });
                    const session = await model.session();
                    await session.classify({ width, height, data: new Uint8ClampedArray(data) });
                    const first = await session.logits();
                    // Another session while this one is there, and a third that takes over its threads.
                    const other = await model.session();
                    await session.close();
                    const third = await model.session();
                    await other.run(await other.input());
                    await third.classify({ width, height, data: new Uint8ClampedArray(data) });
                    const again = [...(await third.logits())].every((value, i) => value === first[i]);
                    made.push({ build, threads: session.description.threads, isa: model.about.isa, again, logits: [...first] });
                    model.close();
                }
            }
            return made;
        },
        { width, height, data: [...data], url: "/package/index.js" },
    );
    for (const { build, threads, isa, again, logits } of results) {
        const far = distance(logits, expected.logits);
        console.log(`${build}, ${threads} threads, ${isa}: logits within ${far.toExponential(1)} of the largest`);
        assert.ok(far <= CLOSE && again);
    }
    assert.deepEqual(results.map(({ threads }) => threads), [1, 2, 1, 2]);
    // A set's bits do not depend on threads.
    assert.deepEqual(results[0].logits, results[1].logits);
    assert.deepEqual(results[2].logits, results[3].logits);
    await close();
});

test("calls that do not wait for each other get their own answers, of what a canvas showed when they were made", async () => {
    const { page, close } = await opened();
    const [alone, together] = await page.evaluate(
        async ({ url, files }) => {
            const { Model } = await import(url);
            const model = await Model.demo();
            const session = await model.session();
            const blobs = files.map((bytes) => new Blob([new Uint8Array(bytes)], { type: "image/png" }));
            const alone = [];
            for (const blob of blobs) alone.push(await session.classify(blob));
            const together = await Promise.all([0, 1, 0].map((i) => session.classify(blobs[i])));
            const canvas = new OffscreenCanvas(64, 64);
            const drawing = canvas.getContext("2d");
            drawing.fillStyle = "rgb(40 90 200)";
            drawing.fillRect(0, 0, 64, 64);
            const drawn = session.classify(canvas);
            drawing.clearRect(0, 0, 64, 64);
            together.push(await drawn);
            model.close();
            return [alone, together];
        },
        { url: "/package/index.js", files: [[...sample], [...blue]] },
    );
    assert.notDeepEqual(alone[0], alone[1]);
    assert.deepEqual(together, [alone[0], alone[1], alone[0], alone[1]]);
    await close();
});

test("a file's picture is turned as it says, and keeps its colours without their opacity", async () => {
    const { page, close } = await opened();
    const { width, height, data } = picture();
    // What the network sees of each: a JPEG that is stored lying, its pixels turned here; a PNG with opacity, one without.
    const inputs = (jpeg, files) =>
        page.evaluate(
            async ({ jpeg, files, url }) => {
                const { Model } = await import(url);
                const session = await (await Model.demo()).session();
                const seen = async (picture) => {
                    await session.prepare(picture);
                    return [...(await session.input())];
                };
                const blob = (bytes, type) => new Blob([new Uint8Array(bytes)], { type });
                const stored = await createImageBitmap(blob(jpeg, "image/jpeg"), { colorSpaceConversion: "none" });
                const { width, height } = stored;
                const canvas = new OffscreenCanvas(width, height).getContext("2d");
                canvas.drawImage(stored, 0, 0);
                const { data } = canvas.getImageData(0, 0, width, height);
                const turned = { width: height, height: width, data: new Uint8Array(data.length) };
                for (let y = 0; y < height; y++) {
                    for (let x = 0; x < width; x++) {
                        const from = 4 * (y * width + x);
                        turned.data.set(data.subarray(from, from + 4), 4 * (x * height + height - 1 - y));
                    }
                }
                const found = [await seen(turned)];
                for (const { bytes, type } of files) found.push(await seen(blob(bytes, type)));
                return found;
            },
            { jpeg, files, url: "/package/index.js" },
        );
    const jpeg = Buffer.from(
        await page.evaluate(
            async ({ width, height, data }) => {
                const canvas = new OffscreenCanvas(width, height);
                canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(data), width, height), 0, 0);
                return [...new Uint8Array(await (await canvas.convertToBlob({ type: "image/jpeg" })).arrayBuffer())];
            },
            { width, height, data: [...data] },
        ),
    );
    const veiled = data.map((value, i) => (i % 4 === 3 ? (i >> 2) % 256 : value));
    const [turned, tagged, opaque, transparent] = await inputs([...jpeg], [
        { bytes: [...oriented(jpeg, 6)], type: "image/jpeg" },
        { bytes: [...png({ width, height, data })], type: "image/png" },
        { bytes: [...png({ width, height, data: veiled })], type: "image/png" },
    ]);
    assert.deepEqual(tagged, turned);
    assert.notDeepEqual(tagged, opaque);
    assert.deepEqual(transparent, opaque);
    // The page shows it upright, too.
    await running(page, () => bring(page, oriented(jpeg, 6), "photograph.jpg", "image/jpeg"));
    const shown = await page.evaluate(() => [document.querySelector("#picture").width, document.querySelector("#picture").height]);
    assert.deepEqual(shown, [height, width]);
    await close();
});

test("the page opens without a network, and is then isolated though its server sends no headers", async () => {
    const plain = await serve({ "/": join(web, "dist", "page") }, { isolated: false });
    const { page, context, close } = await opened({}, plain.url);
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await plain.close();
    await context.setOffline(true);
    await page.reload();
    await page.waitForSelector("#network button");
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    await running(page, () => page.click("#sample"));
    assert.match(await label(page), /^cat\s/);
    await close();
});

for (const colorScheme of ["light", "dark"]) {
    for (const width of [1200, 400]) {
        test(`${colorScheme}, ${width} pixels wide: accessible, nothing cut off, a picture of it kept`, async () => {
            const { page, close } = await opened({ colorScheme, viewport: { width, height: 900 } });
            await running(page, () => page.click("#sample"));
            await running(page, () => page.click('[data-layer="inception_4a"]'));
            await page.waitForSelector("#activations:not([hidden])");
            await page.screenshot({ path: join(shots, `${colorScheme}-${width}.png`), fullPage: true });
            assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
            const cut = await page.evaluate(() =>
                [...document.querySelectorAll("button, .button, h1, h2, h3, p, .value, .share, .shape")]
                    .filter((one) => !one.closest("[hidden]") && !one.classList.contains("spoken"))
                    .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline")
                    .map((one) => one.outerHTML.slice(0, 80)),
            );
            assert.deepEqual(cut, []);
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => globalThis.axe.run());
            assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), []);
            await close();
        });
    }
}
