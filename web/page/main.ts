// The page: brings pictures to a session, one at a time, and shows what comes of each.

import { Model } from "googlenet";
import type { Layer, Picture, Prediction, Session } from "googlenet";
import * as camera from "./camera";
import { element } from "./dom";
import { showLabels, speak } from "./labels";
import { names } from "./names";
import { showActivations, showNetwork } from "./network";
import { show, showMap } from "./stage";
import { showTimes } from "./times";

/** How many labels are shown. */
const TOP = 5;

let model: Model | undefined;
let session: Session | undefined;
/** What the model's weights are called. */
let name = "";
/** Names of classes that a person brought for these weights, if they have no labels. */
let brought: string[] | undefined;
/** The layer whose output is shown. */
let layer: Layer | undefined;
/** The class whose map is shown; the likeliest one if none was chosen. */
let chosen: number | undefined;
/** The last picture, to look at again when weights or what is shown change. */
let picture: ImageBitmap | undefined;
let last: Prediction[] = [];

const problem = element("problem");
const mapBox = element<HTMLInputElement>("show-map");

/** Work on models and sessions is done in the order in which it was asked for. */
let order: Promise<unknown> = Promise.resolve();
function inOrder<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    const done = order.then(work).catch(fail);
    order = done;
    return done;
}

function fail(error: unknown): undefined {
    problem.textContent = error instanceof Error ? error.message : String(error);
    problem.hidden = false;
    return undefined;
}

function named(predictions: Prediction[]): Prediction[] {
    return predictions.map((one) => ({ ...one, label: one.label || brought?.[one.index] || `class ${one.index}` }));
}

/** Opens weights; the model before stays if they cannot be used. */
function use(what: string, open: () => Promise<Model>): Promise<void> {
    element("model").textContent = `Opening ${what} …`;
    return inOrder(async () => {
        try {
            const opened = await open();
            const planned = await plan(opened, undefined);
            model?.close();
            [model, session, layer, chosen, name] = [opened, planned, undefined, undefined, what];
            // They are the names of the classes of the weights before.
            brought = undefined;
            problem.hidden = true;
        } finally {
            describe();
        }
        showNetwork(model.description.layers, choose);
        await look();
    }) as Promise<void>;
}

function plan(model: Model, layer: Layer | undefined): Promise<Session> {
    return model.session({ classMaps: true, profile: true, endpoints: layer ? [layer.name] : [] });
}

function describe(): void {
    if (!model) {
        element("model").textContent = "No weights are open.";
        return;
    }
    const { description, about, threads } = model;
    const { network, dialect, classes, side, parameters } = description;
    const size = `${(parameters / 1e6).toFixed(1)} million weights`;
    element("model").textContent =
        `${name}: ${network} (${dialect}), ${classes} classes, ${size}, input ${side}×${side}. ` +
        `Computed with ${about.isa}, ${threads === 1 ? "one thread" : `${threads} threads`}.`;
}

/** Shows what a layer gives from now on. */
function choose(wanted: Layer | undefined): void {
    void inOrder(async () => {
        if (!model || !session) return;
        // The new session shares the old one's packed weights, which are there until that is closed.
        const planned = await plan(model, wanted);
        await session.close();
        [session, layer] = [planned, wanted];
        await look();
    });
}

/** Runs the network on the last picture and shows what comes of it. */
async function look(seen: Picture | undefined = picture): Promise<void> {
    if (!session || !model || !seen) return;
    await session.prepare(seen);
    await session.resetProfile();
    const start = performance.now();
    await session.run();
    const milliseconds = performance.now() - start;
    last = named(await session.predictions(TOP));
    await showAnswer();
    showTimes(await session.profile(), milliseconds, session.description.threads);
    if (layer) showActivations(layer, await session.endpoint(layer.name));
    document.body.dataset.runs = String(Number(document.body.dataset.runs ?? 0) + 1);
}

async function showAnswer(): Promise<void> {
    if (!session || !model) return;
    const index = chosen ?? last[0]?.index;
    const hasMaps = session.description.classMapShape !== null && mapBox.checked;
    const map = hasMaps && index !== undefined ? await session.classMap(index) : undefined;
    showMap(map, model.description);
    showLabels(last, map ? index : undefined, (index) => {
        chosen = index;
        void inOrder(showAnswer);
    });
    speak(last, camera.isOn());
}

/** Looks at a picture that a person brought. */
function bring(blob: Blob, name: string): void {
    camera.turnOff();
    void inOrder(async () => {
        problem.hidden = true;
        let bitmap: ImageBitmap;
        try {
            bitmap = await createImageBitmap(blob, {
                imageOrientation: "from-image",
                colorSpaceConversion: "none",
                premultiplyAlpha: "none",
            });
        } catch {
            throw new Error(`${name}: this browser cannot read it as a picture`);
        }
        picture?.close();
        [picture, chosen] = [bitmap, undefined];
        show(bitmap, bitmap.width, bitmap.height, name);
        await look();
    });
}

async function sample(): Promise<void> {
    bring(await (await fetch("chelsea.png")).blob(), "The sample: a cat");
}

/** Looks at what the camera sees. */
async function see(video: HTMLVideoElement): Promise<void> {
    await inOrder(async () => {
        if (!camera.isOn()) return;
        const frame = await createImageBitmap(video);
        show(frame, frame.width, frame.height, "What the camera sees");
        picture?.close();
        picture = frame;
        await look();
    });
}

/** Calls with the first file that a person chose, and forgets it, so that the same one can be chosen again. */
function onFile(id: string, work: (file: File) => void): void {
    const input = element<HTMLInputElement>(id);
    input.addEventListener("change", () => {
        const file = input.files?.[0];
        if (file) work(file);
        input.value = "";
    });
}

/** Whether a file's name is one of weights. */
const isWeights = (name: string) => /\.(safetensors|caffemodel|onnx|npz)$/i.test(name);

function take(file: File): void {
    if (isWeights(file.name)) void use(file.name, () => Model.open(file));
    else bring(file, file.name);
}

onFile("choose", take);
onFile("open", (file) => void use(file.name, () => Model.open(file)));
onFile("names", (file) => {
    void inOrder(async () => {
        const read = names(await file.text());
        if (model && read.length !== model.description.classes) {
            throw new Error(`${file.name}: ${read.length} labels, the network has ${model.description.classes} classes`);
        }
        brought = read;
        problem.hidden = true;
        if (session) {
            last = named(last.map((one) => ({ ...one, label: model?.description.labels[one.index] ?? "" })));
            await showAnswer();
        }
    });
});
element("demo").addEventListener("click", () => void use("Demonstration weights", () => Model.demo()));
element("sample").addEventListener("click", () => void sample().catch(fail));
element("camera").addEventListener("click", () => {
    const begun = () => {
        problem.hidden = true;
        chosen = undefined;
    };
    void camera.toggle(begun, see).catch(fail);
});
mapBox.addEventListener("change", () => void inOrder(showAnswer));

const stage = element("stage");
document.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) stage.classList.remove("over");
});
document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
});
document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) take(file);
});

void use("Demonstration weights", () => Model.demo());
if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(fail);
