// The network, drawn as its layers and modules in the order of computing, and what the chosen one gives.

import type { Endpoint, Layer } from "googlenet";
import { colour } from "./colour";
import { context, element, make } from "./dom";

const trunk = element("network");
const panel = element("activations");
const title = element("activations-title");
const note = element("activations-note");
const maps = element<HTMLCanvasElement>("maps");
/** The most channels that are drawn, where they are maps. */
const MOST_MAPS = 64;

const KINDS: Record<Layer["kind"], string> = {
    conv: "convolution",
    "max-pool": "max pool",
    "average-pool": "average pool",
    "global-average": "average",
    lrn: "normalisation",
    inception: "Inception module",
    "fully-connected": "fully connected",
    softmax: "softmax",
};

/** Draws the layers; `choose` is called with the layer that is chosen, or nothing when it is chosen again. */
export function showNetwork(layers: Layer[], choose: (layer: Layer | undefined) => void): void {
    panel.hidden = true;
    trunk.replaceChildren(...layers.map((layer) => make("li", "", box(layer, choose))));
}

function box(layer: Layer, choose: (layer: Layer | undefined) => void): HTMLButtonElement {
    const [c, h, w] = layer.shape;
    const shape = h * w === 1 ? `${c}` : `${c} × ${h}×${w}`;
    const button = make("button", `kind-${layer.kind}`, make("span", "", short(layer)));
    if (layer.branches) button.append(branches(layer.branches));
    else button.append(make("span", "shape", layer.kind === "conv" ? `${layer.kernel}×${layer.kernel}` : KINDS[layer.kind]));
    button.append(make("span", "shape", shape));
    button.type = "button";
    button.title = `${layer.name}: ${KINDS[layer.kind]}`;
    button.dataset.layer = layer.name;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
        const pressed = button.getAttribute("aria-pressed") === "true";
        for (const other of trunk.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-pressed", String(!pressed));
        if (pressed) panel.hidden = true;
        choose(pressed ? undefined : layer);
    });
    return button;
}

/** A name that says which layer it is: the part after the slash of a normalisation, the part before it of a pool. */
function short({ name, kind }: Layer): string {
    const [before, after] = name.split("/");
    return kind === "conv" ? name.replace("_reduce", " reduce") : kind === "lrn" && after ? after : before!;
}

/** A module's branches side by side, a bar for each layer, the last of each at the bottom. */
function branches(branches: Layer[][]): HTMLElement {
    const drawn = branches.map((branch) =>
        make("span", "", ...branch.map((layer) => make("i", layer.kind === "conv" ? "" : "pool"))),
    );
    const all = make("span", "branches", ...drawn);
    all.setAttribute("aria-hidden", "true");
    return all;
}

/** Draws what a layer gave. */
export function showActivations(layer: Layer, { shape: [channels, rows, columns], values }: Endpoint): void {
    panel.hidden = false;
    title.textContent = layer.name;
    const plane = rows * columns;
    const maximum = (channel: number) => {
        let largest = 0;
        for (let i = channel * plane; i < (channel + 1) * plane; i++) largest = Math.max(largest, values[i]!);
        return largest;
    };
    const all = Array.from({ length: channels }, (_, channel) => ({ channel, maximum: maximum(channel) }));
    const silent = all.filter(({ maximum }) => maximum === 0).length;
    if (plane === 1) {
        note.textContent = `${KINDS[layer.kind]}: ${channels} values, in order; brighter is larger.`;
        return draw(all.map(({ channel }) => channel), 1, 1, values, Math.max(...all.map(({ maximum }) => maximum), 1e-9));
    }
    const strongest = all.sort((a, b) => b.maximum - a.maximum).slice(0, MOST_MAPS);
    const chosen = strongest.map(({ channel }) => channel).sort((a, b) => a - b);
    const which = channels > chosen.length ? `the ${chosen.length} strongest of ${channels}` : `${channels}`;
    note.textContent =
        `${KINDS[layer.kind]}: ${which} maps of ${rows}×${columns}, each scaled to its own largest value` +
        (silent ? `; ${silent} are silent.` : ".");
    draw(chosen, rows, columns, values);
}

/** Draws channels in rows of eight maps, or of 32 values; each by its own largest value if none is given. */
function draw(chosen: number[], rows: number, columns: number, values: Float32Array, common?: number): void {
    const across = Math.min(chosen.length, rows * columns === 1 ? 32 : 8);
    const down = Math.ceil(chosen.length / across);
    // Small maps are enlarged, so that the gaps between them stay small beside them.
    const scale = Math.max(1, Math.round((rows * columns === 1 ? 16 : 56) / columns));
    const gap = 4;
    const [width, height] = [columns * scale, rows * scale];
    const image = new ImageData(across * (width + gap) - gap, down * (height + gap) - gap);
    chosen.forEach((channel, place) => {
        const own = values.subarray(channel * rows * columns, (channel + 1) * rows * columns);
        const largest = common ?? Math.max(own.reduce((a, b) => Math.max(a, b), 0), 1e-9);
        const colours = Array.from(own, (value) => [...colour(value / largest), 255]);
        const [left, top] = [(place % across) * (width + gap), Math.floor(place / across) * (height + gap)];
        for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) {
                const from = Math.floor(y / scale) * columns + Math.floor(x / scale);
                image.data.set(colours[from]!, 4 * ((top + y) * image.width + left + x));
            }
        }
    });
    Object.assign(maps, { width: image.width, height: image.height });
    context(maps).putImageData(image, 0, 0);
}
