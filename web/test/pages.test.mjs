// The pages that the command writes, in the distribution's Chromium: text and pictures are there, nothing is asked of
// elsewhere, nothing is wider than the window, and a checker of accessibility finds nothing. `.ci/pages` runs it; the command
// is the program that GOOGLENET names.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch } from "../tools/chromium.mjs";
import { root } from "./reference.mjs";

const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const shots = join(target, "web", "screenshots");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const photograph = join(root, "weights", "chelsea.png");
let browser;
let work;
before(async () => {
    mkdirSync(shots, { recursive: true });
    work = mkdtempSync(join(tmpdir(), "googlenet-pages-"));
    browser = await launch();
});
after(async () => {
    await browser?.close();
    if (work) rmSync(work, { recursive: true });
});

/** Runs the command. */
function googlenet(...args) {
    return execFileSync(process.env.GOOGLENET, args, { cwd: root, stdio: ["ignore", "pipe", "ignore"] }).toString();
}

/** Opens a page at two widths, in light and dark, and checks what holds of every page. Returns its text. */
async function check(path, name, pictures) {
    let text;
    for (const [width, colorScheme] of [[1200, "light"], [400, "dark"]]) {
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
        const page = await context.newPage();
        const asked = [];
        const errors = [];
        page.on("request", (request) => /^(file|data):/.test(request.url()) || asked.push(request.url()));
        page.on("pageerror", (error) => errors.push(error.message));
        page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
        await page.goto(pathToFileURL(path).href);
        // Pictures further down are decoded once they are near.
        await page.evaluate(() => document.querySelectorAll("img").forEach((image) => (image.loading = "eager")));
        await page.waitForFunction(() => [...document.images].every((image) => image.complete));
        const found = await page.evaluate(() => ({
            pictures: [...document.images].filter((image) => image.naturalWidth > 0 && image.clientWidth > 0).length,
            broken: [...document.images].filter((image) => image.naturalWidth === 0).map((image) => image.alt),
            wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            empty: [...document.querySelectorAll("section, figure, ul, h1, h2, h3, figcaption")]
                .filter((element) => element.clientHeight === 0 || element.innerHTML.trim() === "")
                .map((element) => element.outerHTML.slice(0, 80)),
            text: document.body.innerText,
            ground: getComputedStyle(document.body).backgroundColor,
        }));
        assert.deepEqual([found.broken, found.empty, found.wide, asked, errors], [[], [], 0, [], []], `${name} at ${width}`);
        assert.equal(found.pictures, pictures);
        assert.equal(found.ground === "rgb(255, 255, 255)", colorScheme === "light");
        // The policy of the page is for what is in it, not for its checker.
        await page.evaluate(axe);
        const seen = await page.evaluate(() => globalThis.axe.run());
        assert.deepEqual(seen.violations.map(({ id, nodes }) => [id, nodes[0].html.slice(0, 120)]), [], `${name} at ${width}`);
        await page.screenshot({ path: join(shots, `${name}-${width}.png`), fullPage: true });
        await context.close();
        text = found.text;
    }
    return text;
}

test("explain", async () => {
    const out = join(work, "explain");
    googlenet("explain", "--out", out);
    const text = await check(join(out, "index.html"), "explain", 8 + 108 + 1);
    for (const word of ["cat: 76.2", "Class map. Its mean", "Occlusion. At the worst place", "inception_5b", "conv1/7x7_s2"]) {
        assert.ok(text.includes(word), word);
    }
});

test("similar", async () => {
    const [pictures, index] = [join(work, "pictures"), join(work, "index")];
    mkdirSync(pictures);
    for (const name of ["a.png", "b & <c>.png"]) copyFileSync(photograph, join(pictures, name));
    googlenet("index", pictures, index);
    const [found, same] = [join(work, "found.html"), join(work, "same.html")];
    googlenet("similar", index, photograph, "--html", found);
    assert.ok((await check(found, "similar", 3)).includes("b & <c>.png"));
    googlenet("similar", index, "--near-duplicates", "--html", same);
    assert.ok((await check(same, "near-duplicates", 2)).includes("Group 1: 2 pictures"));
});
