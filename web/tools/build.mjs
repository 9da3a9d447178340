// `npm run build`: the modules, with cargo; then dist/package, the package with its types, and dist/page, a folder of files
// for any web server. With `--no-wasm` the modules are taken as they are. Targets of Rust that are missing are added.

import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { ensure } from "./targets.mjs";

const web = join(dirname(fileURLToPath(import.meta.url)), "..");
const root = join(web, "..");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const dist = join(web, "dist");
const LARGEST_MODULE = 900_000;
const tooLarge = [];
/** What binaryen does with a module, and the features that it may use: it keeps the vectors' instructions as they are. */
const FEATURES = [
    "simd",
    "relaxed-simd",
    "threads",
    "bulk-memory",
    "nontrapping-float-to-int",
    "sign-ext",
    "mutable-globals",
    "multivalue",
    "reference-types",
];
const SMALLER = ["-Os", "--strip-producers", ...FEATURES.map((feature) => `--enable-${feature}`)];

/** Runs a program where a file may say which toolchain of Rust is to be taken. */
const inRoot = (program, ...args) => execFileSync(program, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });

/** The builds of the module: which instructions, and whether it has threads. */
const BUILDS = [
    { name: "simd128", features: "+simd128", triple: "wasm32-wasip1" },
    { name: "relaxed", features: "+simd128,+relaxed-simd", triple: "wasm32-wasip1" },
    { name: "simd128-threads", features: "+simd128", triple: "wasm32-wasip1-threads" },
    { name: "relaxed-threads", features: "+simd128,+relaxed-simd", triple: "wasm32-wasip1-threads" },
];

async function modules(out) {
    if (!process.argv.includes("--no-wasm")) ensure(BUILDS.map(({ triple }) => triple), inRoot);
    for (const { name, features, triple } of BUILDS) {
        // One folder for each set of flags, or cargo would build everything anew for each.
        const folder = join(target, "web", name.split("-")[0]);
        if (!process.argv.includes("--no-wasm")) {
            const flags = ["--cfg googlenet_f32_only", `-C target-feature=${features}`, "-C link-arg=--export=__wasm_call_ctors"];
            if (triple.endsWith("threads")) {
                // The limits that lib/engine.ts makes the memory with.
                flags.push("-C link-arg=--initial-memory=4194304", "-C link-arg=--max-memory=1073741824");
                flags.push("-C link-arg=--import-memory", "-C link-arg=--export=wasi_thread_start");
                // A program's start would call it: it tells the first thread who it is.
                flags.push("-C link-arg=--export=__wasi_init_tp");
            }
            const cargo = ["build", "--locked", "--package", "googlenet-web", "--profile", "web", "--target", triple];
            execFileSync("cargo", [...cargo, "--target-dir", folder], {
                cwd: root,
                stdio: "inherit",
                env: { ...process.env, RUSTFLAGS: flags.join(" ") },
            });
        }
        const from = join(folder, triple, "web", "googlenet_web.wasm");
        const to = join(out, `googlenet-${name}.wasm`);
        execFileSync(process.execPath, [join(web, "node_modules/binaryen/bin/wasm-opt"), ...SMALLER, from, "-o", to]);
        const { size } = await stat(to);
        console.log(`googlenet-${name}.wasm: ${size} bytes`);
        if (size > LARGEST_MODULE) tooLarge.push(name);
    }
}

const common = { bundle: true, format: "esm", target: "es2022", minify: true, legalComments: "none", logLevel: "warning" };

await rm(dist, { recursive: true, force: true });
const [packaged, page] = [join(dist, "package"), join(dist, "page")];
await mkdir(packaged, { recursive: true });
await mkdir(page);

await modules(packaged);
await cp(join(root, "weights", "demo.safetensors"), join(packaged, "demo.safetensors"));
await build({
    ...common,
    entryPoints: ["index", "worker", "helper"].map((name) => join(web, "lib", `${name}.ts`)),
    outdir: packaged,
    external: ["node:*"],
});
execFileSync(process.execPath, [join(web, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.package.json"], {
    cwd: web,
    stdio: "inherit",
});

for (const file of await readdir(packaged)) {
    if (!file.endsWith(".d.ts") && file !== "index.js") await cp(join(packaged, file), join(page, file));
}
// What makes the folder a package, which the page does without.
const { name, version, description, license, type, engines } = JSON.parse(await readFile(join(web, "package.json"), "utf8"));
const exports = { ".": { types: "./index.d.ts", default: "./index.js" } };
const manifest = { name, version, description, license, type, engines, exports };
await writeFile(join(packaged, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
await cp(join(root, "LICENSE"), join(packaged, "LICENSE"));
await cp(join(web, "README.md"), join(packaged, "README.md"));

await cp(join(root, "weights", "chelsea.png"), join(page, "chelsea.png"));
for (const file of ["index.html", "style.css"]) await cp(join(web, "page", file), join(page, file));
await build({
    ...common,
    entryPoints: [join(web, "page", "main.ts")],
    outfile: join(page, "main.js"),
    external: ["node:*"],
    alias: { googlenet: join(web, "lib", "index.ts") },
});

// The service worker keeps all of the page, under a name that changes with any of it.
const files = (await readdir(page)).sort();
const hash = createHash("sha256");
for (const file of files) hash.update(file).update(await readFile(join(page, file)));
await build({
    ...common,
    format: "iife",
    entryPoints: [join(web, "page", "offline.ts")],
    outfile: join(page, "offline.js"),
    define: { FILES: JSON.stringify(["./", ...files]), VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)) },
});
await writeFile(join(page, ".nojekyll"), "");

if (tooLarge.length) throw new Error(`more than ${LARGEST_MODULE} bytes: ${tooLarge.join(", ")}`);
