// The tools of the build that a machine which has everything does not show at work.

import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensure } from "../tools/targets.mjs";

/** A machine that has Rust's library for `there` alone; what is asked of rustup is in `asked`. */
function machine(there, rustup = () => "") {
    const asked = [];
    const run = (program, ...args) => {
        if (program === "rustc") return `${args.at(-1) === there ? tmpdir() : join(tmpdir(), "no-such-library")}\n`;
        asked.push([program, ...args].join(" "));
        return rustup();
    };
    return { asked, run };
}

test("targets of Rust that are missing are added, each once", () => {
    const { asked, run } = machine("wasm32-wasip1");
    ensure(["wasm32-wasip1", "wasm32-wasip1"], run);
    assert.deepEqual(asked, []);
    ensure(["wasm32-wasip1", "wasm32-wasip1-threads", "wasm32-wasip1-threads"], run);
    assert.deepEqual(asked, ["rustup target add wasm32-wasip1-threads"]);
});

test("targets that cannot be added are named", () => {
    const { run } = machine("", () => {
        throw new Error("no rustup");
    });
    assert.throws(() => ensure(["wasm32-wasip1"], run), /missing for wasm32-wasip1:/);
});
