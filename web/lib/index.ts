// The package: models and sessions, whose calls are answered by a worker in browsers, and in this thread elsewhere.

import { Engine } from "./engine.js";
import type { Calls } from "./engine.js";
import { best, mostThreads } from "./features.js";
import { taken } from "./picture.js";
import type { Picture } from "./picture.js";
import type {
    About,
    ClassMap,
    Description,
    Endpoint,
    LayerTime,
    Opening,
    Prediction,
    SessionDescription,
    SessionOptions,
} from "./types.js";
import type { Request, Response as Answer } from "./worker.js";

export type {
    About,
    ClassMap,
    Description,
    Endpoint,
    Layer,
    LayerTime,
    Opening,
    Pixels,
    Prediction,
    SessionDescription,
    SessionOptions,
} from "./types.js";
export type { Picture } from "./picture.js";

/** A weight file: its address, its bytes, or a file that a person chose. */
export type Source = string | URL | Blob | ArrayBuffer | Uint8Array;

/** How a model is opened. */
export interface ModelOptions extends Opening {
    /**
     * The most threads that a session of the model may have. The default is all cores, up to 8, where the page is
     * cross-origin isolated (https://web.dev/articles/coop-coep), and 1 elsewhere, where more are refused.
     */
    threads?: number;
    /** Which build of the module to load; by default the best that the browser can. */
    build?: "simd128" | "relaxed";
}

/** Calls an engine, wherever it is. */
interface Channel {
    about: About;
    call<Name extends keyof Calls>(
        name: Name,
        ...values: Parameters<Calls[Name]>
    ): Promise<ReturnType<Calls[Name]>>;
    close(): void;
}

/** A network with weights. */
export class Model {
    /** The network, its layers, its labels. */
    readonly description: Description;
    /** The module that computes. */
    readonly about: About;
    /** The most threads that a session of this model may have. */
    readonly threads: number;
    #channel: Channel;
    #number: number;

    private constructor(channel: Channel, number: number, description: Description, threads: number) {
        this.#channel = channel;
        this.#number = number;
        this.description = description;
        this.about = channel.about;
        this.threads = threads;
    }

    /**
     * Opens a weight file of this project, or one of another program: a `.caffemodel`, an ONNX graph, a safetensors file
     * or `.npz` of Caffe's, torchvision's or slim's tensors.
     */
    static async open(source: Source, options: ModelOptions = {}): Promise<Model> {
        const { threads = Math.min(mostThreads(), 8), build, ...opening } = options;
        if (!Number.isInteger(threads) || threads < 1 || threads > mostThreads()) {
            throw new RangeError(`threads: ${threads}, expected 1 to ${mostThreads()} here`);
        }
        const channel = await connect(build, threads);
        try {
            const bytes = await read(source);
            const { model, description } = await channel.call("open", bytes, opening);
            return new Model(channel, model, description, threads);
        } catch (error) {
            channel.close();
            throw error;
        }
    }

    /** The weights that come with the package: ten classes, photographs of 64x64. */
    static demo(options: ModelOptions = {}): Promise<Model> {
        return Model.open(new URL("./demo.safetensors", import.meta.url), options);
    }

    /** Plans a session; it packs weights, and so takes a while. */
    async session(options: SessionOptions = {}): Promise<Session> {
        const wanted = { threads: this.threads, ...options };
        if (wanted.threads > this.threads) throw new RangeError(`threads: ${wanted.threads}, the model has ${this.threads}`);
        const { session, description } = await this.#channel.call("session", this.#number, wanted);
        return new Session(this.#channel, session, description, this.description);
    }

    /** Ends the model and its sessions: calls that have not ended fail, as do all later ones. */
    close(): void {
        this.#channel.close();
    }
}

/**
 * A plan over a model's weights, with memory and threads. It does what it is asked in the order in which it was asked, each
 * call wholly before the next: calls need not wait for those before them. Arrays that a call takes are read when its turn
 * comes, so they are to stay as they are until it is done; whatever a browser draws is read at once, but for files.
 */
export class Session {
    /** What the session is made for. */
    readonly description: SessionDescription;
    #model: Description;
    #channel: Channel;
    #number: number;
    /** When the last call that was made has ended; it never fails. */
    #last: Promise<unknown> = Promise.resolve();

    /** @internal */
    constructor(channel: Channel, number: number, description: SessionDescription, model: Description) {
        this.#channel = channel;
        this.#number = number;
        this.description = description;
        this.#model = model;
    }

    /** The `top` most likely classes of a picture, most likely first. */
    async classify(picture: Picture, top = 5): Promise<Prediction[]> {
        const pixels = taken(picture);
        return this.#inTurn(async () => {
            await this.#ask("prepare", 0, await pixels());
            await this.#ask("run");
            return this.#likeliest(top, 0);
        });
    }

    /** Makes a picture, by the rule that is stored with the weights, image `image` of the next run. */
    async prepare(picture: Picture, image = 0): Promise<void> {
        const pixels = taken(picture);
        return this.#inTurn(async () => this.#ask("prepare", image, await pixels()));
    }

    /** Runs the network, on `input`, `[batch, 3, side, side]`, or on what was prepared; the logits, `[batch, classes]`. */
    run(input?: Float32Array): Promise<Float32Array> {
        return this.#inTurn(async () => {
            if (input) await this.#ask("setInput", input);
            await this.#ask("run");
            return this.#ask("logits");
        });
    }

    /** A copy of the next run's input, `[batch, 3, side, side]`. */
    input(): Promise<Float32Array> {
        return this.#inTurn(() => this.#ask("input"));
    }

    /** The last run's logits, `[batch, classes]`. */
    logits(): Promise<Float32Array> {
        return this.#inTurn(() => this.#ask("logits"));
    }

    /** The last run's probabilities, `[batch, classes]`. */
    probabilities(): Promise<Float32Array> {
        return this.#inTurn(() => this.#ask("probabilities"));
    }

    /** The last run's most likely classes of image `image`, most likely first. */
    predictions(top = 5, image = 0): Promise<Prediction[]> {
        return this.#inTurn(() => this.#likeliest(top, image));
    }

    /** The last run's output of a layer that the session was asked to keep. */
    endpoint(name: string): Promise<Endpoint> {
        return this.#inTurn(() => this.#ask("endpoint", name));
    }

    /** Where the class `index` was seen in image `image` of the last run. */
    classMap(index: number, image = 0): Promise<ClassMap> {
        return this.#inTurn(() => this.#ask("classMap", image, index));
    }

    /** What each step took since the last reset. */
    profile(): Promise<LayerTime[]> {
        return this.#inTurn(() => this.#ask("profile"));
    }

    resetProfile(): Promise<void> {
        return this.#inTurn(() => this.#ask("resetProfile"));
    }

    /** Ends the session, when the calls before are done. */
    close(): Promise<void> {
        return this.#inTurn(() => this.#ask("closeSession"));
    }

    /** Does what a call does when all calls before it have ended, well or not. */
    async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
        const done = this.#last.then(work);
        this.#last = done.catch(() => {});
        return done;
    }

    /** Calls a method of the engine for this session. */
    #ask<Name extends SessionCall>(name: Name, ...values: OfSession<Name>): Promise<ReturnType<Calls[Name]>> {
        return this.#channel.call(name, ...([this.#number, ...values] as unknown as Parameters<Calls[Name]>));
    }

    async #likeliest(top: number, image: number): Promise<Prediction[]> {
        const { classes, labels } = this.#model;
        const own = (await this.#ask("probabilities")).subarray(image * classes, (image + 1) * classes);
        return Array.from(own, (probability, index) => ({ index, label: labels[index] ?? "", probability }))
            .sort((a, b) => b.probability - a.probability || a.index - b.index)
            .slice(0, top);
    }
}

/** The engine's methods that take a session first. */
type SessionCall = Exclude<keyof Calls, "open" | "closeModel" | "session">;
/** What such a method takes beside. */
type OfSession<Name extends SessionCall> = Parameters<Calls[Name]> extends [number, ...infer Rest] ? Rest : never;

/** An engine in a worker where there are workers, else in this thread. */
async function connect(wanted: ModelOptions["build"], threads: number): Promise<Channel> {
    const build = wanted ?? best();
    if (!build) throw new Error("WebAssembly has no 128-bit SIMD here");
    const module = new URL(`./googlenet-${build}${threads > 1 ? "-threads" : ""}.wasm`, import.meta.url);
    return typeof Worker === "undefined" ? here(module) : inWorker(module);
}

async function here(url: URL): Promise<Channel> {
    const made = await Engine.make({ module: await WebAssembly.compile((await read(url)) as BufferSource) });
    // Closing forgets the engine, and with it the memory that holds the model and its sessions.
    let engine: Engine | undefined = made;
    return {
        about: made.about,
        call: async (name, ...values) => {
            if (!engine) throw closed();
            return (engine[name] as (...values: unknown[]) => never)(...values);
        },
        close: () => {
            engine = undefined;
        },
    };
}

async function inWorker(url: URL): Promise<Channel> {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
    const fail = (error: Error) => {
        waiting.forEach(({ reject }) => reject(error));
        waiting.clear();
    };
    let last = 0;
    let isClosed = false;
    const ask = (id: number, message: unknown) =>
        new Promise<unknown>((resolve, reject) => {
            if (isClosed) return reject(closed());
            waiting.set(id, { resolve, reject });
            worker.postMessage(message);
        });
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
        const asked = waiting.get(data.id);
        waiting.delete(data.id);
        if (data.error === undefined) asked?.resolve(data.result);
        else asked?.reject(new Error(data.error));
    };
    worker.onerror = (event) => fail(new Error(event.message || "the worker did not start"));
    const close = () => {
        isClosed = true;
        worker.terminate();
        fail(closed());
    };
    try {
        const about = (await ask(0, { module: url.href })) as About;
        const call = (name: string, ...values: unknown[]) => {
            last += 1;
            return ask(last, { id: last, call: name, arguments: values } satisfies Request) as Promise<never>;
        };
        return { about, call, close };
    } catch (error) {
        close();
        throw error;
    }
}

function closed(): Error {
    return new Error("the model is closed");
}

/** The bytes of a weight file or a module. */
async function read(source: Source): Promise<Uint8Array> {
    if (source instanceof Uint8Array) return source;
    if (source instanceof ArrayBuffer) return new Uint8Array(source);
    if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
    const base = typeof location === "undefined" ? import.meta.url : location.href;
    const url = new URL(source, base);
    if (url.protocol === "file:" && typeof process !== "undefined") {
        const { readFile } = await import("node:fs/promises");
        return readFile(url);
    }
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
}
