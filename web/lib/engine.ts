// The module in this thread: its border in `web/src`, as methods. Every call is synchronous, and blocks while it computes.

import type {
    About,
    ClassMap,
    Description,
    Endpoint,
    LayerTime,
    Opening,
    Pixels,
    SessionDescription,
    SessionOptions,
} from "./types.js";
import { imports } from "./wasi.js";

/** The functions that the module exports. */
interface Exports {
    memory?: WebAssembly.Memory;
    __wasm_call_ctors?(): void;
    __wasi_init_tp?(): void;
    wasi_thread_start?(thread: number, argument: number): void;
    inbox(length: number): number;
    reply_address(): number;
    reply_length(): number;
    about(): number;
    model_open(optionsLength: number): number;
    model_close(model: number): void;
    model_describe(model: number): number;
    session_open(model: number): number;
    session_close(session: number): void;
    session_describe(session: number): number;
    session_input(session: number): number;
    session_prepare(session: number, image: number, width: number, height: number): number;
    session_run(session: number): number;
    session_logits(session: number): number;
    session_probabilities(session: number): number;
    session_endpoint(session: number): number;
    session_endpoint_shape(session: number): number;
    session_class_map(session: number, image: number, index: number): number;
    session_profile(session: number): number;
    session_reset_profile(session: number): number;
}

/** What an instance is made of. */
export interface Parts {
    module: WebAssembly.Module;
    /** The memory that all threads share, of a build with threads. */
    memory?: WebAssembly.Memory | undefined;
    /** Starts a thread with an argument and returns its number, or a negative number if there is none to be had. */
    spawn?: ((argument: number) => number) | undefined;
}

/** An instance of the module in this thread. */
export async function instantiate(parts: Parts, said: (text: string) => void): Promise<Exports> {
    let memory = parts.memory;
    const wasi = imports(() => memory!, said);
    const instance = await WebAssembly.instantiate(parts.module, {
        wasi_snapshot_preview1: wasi,
        wasi: { "thread-spawn": parts.spawn ?? (() => -1) },
        env: memory ? { memory } : {},
    });
    const exports = instance.exports as unknown as Exports;
    memory ??= exports.memory!;
    return { ...exports, memory };
}

/** The memory for a module that imports one; of a build without threads undefined. */
export function sharedMemory(module: WebAssembly.Module): WebAssembly.Memory | undefined {
    if (!WebAssembly.Module.imports(module).some(({ kind }) => kind === "memory")) return undefined;
    // As .cargo and the build script tell the linker: an instance's memory has to have these limits.
    return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MAXIMUM_PAGES, shared: true });
}

// Pages of 64 KiB. The linker gives the module's limits, which `tools/build.mjs` passes it: 4 MiB and 1 GiB.
const INITIAL_PAGES = 64;
const MAXIMUM_PAGES = 16_384;

export class Engine {
    readonly about: About;
    #exports: Exports;
    /** What the module said last, a panic's text among it. */
    #said: string[];
    #broken = false;

    private constructor(exports: Exports, said: string[], threads: boolean) {
        this.#exports = exports;
        this.#said = said;
        exports.__wasi_init_tp?.();
        exports.__wasm_call_ctors?.();
        this.#call(() => exports.about());
        this.about = { ...this.#json<About>(), threads };
    }

    /** An engine of its own. */
    static async make(parts: Parts): Promise<Engine> {
        const said: string[] = [];
        const exports = await instantiate(parts, (text) => {
            said.push(text);
            if (said.length > 20) said.shift();
        });
        return new Engine(exports, said, parts.memory !== undefined);
    }

    open(bytes: Uint8Array, opening: Opening): { model: number; description: Description } {
        const options = new TextEncoder().encode(JSON.stringify(opening));
        const model = this.#call(() => {
            this.#give(bytes, options);
            return this.#exports.model_open(options.length);
        });
        this.#call(() => this.#exports.model_describe(model));
        return { model, description: this.#json() };
    }

    closeModel(model: number): void {
        this.#exports.model_close(model);
    }

    session(model: number, options: SessionOptions): { session: number; description: SessionDescription } {
        const session = this.#call(() => {
            this.#give(new TextEncoder().encode(JSON.stringify(options)));
            return this.#exports.session_open(model);
        });
        this.#call(() => this.#exports.session_describe(session));
        return { session, description: this.#json() };
    }

    closeSession(session: number): void {
        this.#exports.session_close(session);
    }

    /** A copy of the next run's input. */
    input(session: number): Float32Array {
        this.#call(() => this.#exports.session_input(session));
        return this.#values();
    }

    setInput(session: number, values: Float32Array): void {
        this.#call(() => this.#exports.session_input(session));
        const length = this.#exports.reply_length();
        if (values.length !== length) throw new Error(`the input has ${length} values, these are ${values.length}`);
        new Float32Array(this.#memory, this.#exports.reply_address(), length).set(values);
    }

    prepare(session: number, image: number, { width, height, data }: Pixels): void {
        this.#call(() => {
            this.#give(data);
            return this.#exports.session_prepare(session, image, width, height);
        });
    }

    run(session: number): void {
        this.#call(() => this.#exports.session_run(session));
    }

    logits(session: number): Float32Array {
        this.#call(() => this.#exports.session_logits(session));
        return this.#values();
    }

    probabilities(session: number): Float32Array {
        this.#call(() => this.#exports.session_probabilities(session));
        return this.#values();
    }

    endpoint(session: number, name: string): Endpoint {
        const bytes = new TextEncoder().encode(name);
        this.#call(() => {
            this.#give(bytes);
            return this.#exports.session_endpoint_shape(session);
        });
        const shape = this.#json<[number, number, number]>();
        this.#call(() => {
            this.#give(bytes);
            return this.#exports.session_endpoint(session);
        });
        return { shape, values: this.#values() };
    }

    classMap(session: number, image: number, index: number): ClassMap {
        this.#call(() => this.#exports.session_class_map(session, image, index));
        const values = this.#values();
        return { shape: [values[0]!, values[1]!], bias: values[2]!, values: values.slice(3) };
    }

    profile(session: number): LayerTime[] {
        this.#call(() => this.#exports.session_profile(session));
        return this.#json();
    }

    resetProfile(session: number): void {
        this.#call(() => this.#exports.session_reset_profile(session));
    }

    get #memory(): ArrayBuffer {
        return this.#exports.memory!.buffer;
    }

    #give(...parts: (Uint8Array | Uint8ClampedArray)[]): void {
        const length = parts.reduce((sum, part) => sum + part.length, 0);
        let at = this.#exports.inbox(length);
        for (const part of parts) {
            new Uint8Array(this.#memory, at >>> 0, part.length).set(part);
            at += part.length;
        }
    }

    /** Calls, and throws the error that the module tells, or that ended it. */
    #call(work: () => number): number {
        if (this.#broken) throw new Error("the module ended by an error before");
        let result: number;
        try {
            result = work();
        } catch (error) {
            this.#broken = true;
            const said = this.#said.join("\n");
            throw new Error(said || (error instanceof Error ? error.message : String(error)), { cause: error });
        }
        if (result === 0) throw new Error(this.#text());
        return result;
    }

    #text(): string {
        const { reply_address, reply_length } = this.#exports;
        return new TextDecoder().decode(new Uint8Array(this.#memory, reply_address() >>> 0, reply_length()).slice());
    }

    #json<T>(): T {
        return JSON.parse(this.#text()) as T;
    }

    #values(): Float32Array {
        const { reply_address, reply_length } = this.#exports;
        return new Float32Array(this.#memory, reply_address() >>> 0, reply_length()).slice();
    }
}

/** The calls that a program makes of an engine, by name. */
export type Calls = {
    [Name in Exclude<keyof Engine, "about">]: Engine[Name];
};
