// The worker of a model, in a browser: it has the module, whose calls block, and so keeps them off the page's thread. Of a
// build with threads it also has the other threads' workers, which are there before a call that needs them: a worker that
// blocks could not start others.

import type { Hire, Work } from "./helper.js";
import { Engine, sharedMemory } from "./engine.js";
import type { SessionOptions } from "./types.js";

/** The first message: which module. */
export interface Start {
    module: string;
}

/** A call of a method of the engine. */
export interface Request {
    id: number;
    call: string;
    arguments: unknown[];
}

/** What came of the start, whose id is 0, or of a call. */
export interface Response {
    id: number;
    result?: unknown;
    error?: string;
}

let engine: Engine | undefined;
/** What threads' workers are made with, in a build with threads. */
let crew: Hire | undefined;
/** Workers that run no thread. */
const idle: Worker[] = [];

self.onmessage = async ({ data }: MessageEvent<Start | Request>) => {
    if ("module" in data) {
        await answer(0, async () => {
            engine = await start(data);
            return engine.about;
        });
    } else {
        await answer(data.id, async () => {
            if (data.call === "session") await enough(data.arguments[1] as SessionOptions);
            const method = (engine as unknown as Record<string, (...values: unknown[]) => unknown>)[data.call]!;
            return method.apply(engine, data.arguments);
        });
    }
};

async function answer(id: number, work: () => Promise<unknown>): Promise<void> {
    try {
        post({ id, result: await work() });
    } catch (error) {
        post({ id, error: error instanceof Error ? error.message : String(error) });
    }
}

function post(response: Response): void {
    const buffers = new Set<ArrayBuffer>();
    const collect = (value: unknown) => {
        if (value instanceof Float32Array) buffers.add(value.buffer as ArrayBuffer);
    };
    collect(response.result);
    if (response.result && typeof response.result === "object") Object.values(response.result).forEach(collect);
    self.postMessage(response, { transfer: [...buffers] });
}

async function start({ module: url }: Start): Promise<Engine> {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
    const bytes = await response.arrayBuffer();
    const module = await WebAssembly.compile(bytes);
    const memory = sharedMemory(module);
    if (!memory) return Engine.make({ module });
    crew = { module, memory };
    let last = 0;
    const spawn = (argument: number) => {
        const worker = idle.pop();
        if (!worker) return -1;
        last += 1;
        worker.onmessage = () => idle.push(worker);
        worker.postMessage({ thread: last, argument } satisfies Work);
        return last;
    };
    return Engine.make({ module, memory, spawn });
}

/**
 * Sees to it that a session has workers for its threads, and for as many that pack its weights and end: that they did is
 * heard of only after the call.
 */
async function enough({ threads = 1 }: SessionOptions): Promise<void> {
    // The session refuses numbers that make no sense.
    const missing = 2 * (Math.min(threads, navigator.hardwareConcurrency) - 1) - idle.length;
    if (!crew || !(missing > 0)) return;
    idle.push(...(await Promise.all(Array.from({ length: missing }, () => hire(crew!)))));
}

/** A worker that waits for threads to run. */
async function hire(hire: Hire): Promise<Worker> {
    const worker = new Worker(new URL("./helper.js", import.meta.url), { type: "module" });
    await new Promise<void>((resolve, reject) => {
        worker.onmessage = () => resolve();
        worker.onerror = (event) => reject(new Error(event.message || "a thread's worker did not start"));
        worker.postMessage(hire);
    });
    return worker;
}
