// Rust's standard library for the targets that the modules are built for: added with rustup where it is missing.

import { existsSync } from "node:fs";

/** Sees to it that `triples` can be built for. `run` runs a program and returns what it prints. */
export function ensure(triples, run) {
    const lacks = (triple) => !existsSync(run("rustc", "--print", "target-libdir", "--target", triple).toString().trim());
    const missing = [...new Set(triples)].filter(lacks);
    if (missing.length === 0) return;
    console.log(`rustup target add ${missing.join(" ")}`);
    try {
        run("rustup", "target", "add", ...missing);
    } catch (error) {
        throw new Error(`Rust's standard library is missing for ${missing.join(" and ")}: install it as you did Rust`, { cause: error });
    }
}
