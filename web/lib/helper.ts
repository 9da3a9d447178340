// A worker that runs threads of the module, one after the other: an instance of its own over the memory of all.

import { instantiate } from "./engine.js";

/** The first message. */
export interface Hire {
    module: WebAssembly.Module;
    memory: WebAssembly.Memory;
}

/** A thread to run. */
export interface Work {
    thread: number;
    argument: number;
}

let hired: Hire | undefined;

self.onmessage = async ({ data }: MessageEvent<Hire | Work>) => {
    if ("module" in data) {
        hired = data;
    } else {
        // An instance's own globals, its stack among them, are those of one thread.
        const exports = await instantiate(hired!, (text) => console.error(text));
        exports.wasi_thread_start!(data.thread, data.argument);
    }
    self.postMessage(null);
};
