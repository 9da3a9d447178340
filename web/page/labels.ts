// The likeliest classes: a button each, with its bar; the one that is pressed has its map shown.

import type { Prediction } from "googlenet";
import { element, make } from "./dom";

const list = element("labels");
const spoken = element("spoken");
const note = element("map-note");

export function showLabels(predictions: Prediction[], shown: number | undefined, choose: (index: number) => void): void {
    const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
    list.replaceChildren(
        ...predictions.map(({ index, label, probability }) => {
            const bar = Object.assign(make("progress", ""), { max: 1, value: probability });
            bar.setAttribute("aria-hidden", "true");
            const share = make("span", "share", `${(100 * probability).toFixed(1)} %`);
            const button = make("button", "", bar, make("span", "name", label), share);
            button.type = "button";
            button.setAttribute("aria-pressed", String(index === shown));
            button.addEventListener("click", () => choose(index));
            return make("li", "", button);
        }),
    );
    if (focused >= 0) list.children[focused]?.querySelector("button")?.focus();
    const label = predictions.find(({ index }) => index === shown)?.label;
    note.textContent = label ? `The map shows what speaks for “${label}”. Choose another label to see its map.` : "";
}

/**
 * Tells a screen reader, which reads what changes, the likeliest class. Where answers follow each other at once, as the
 * camera's do, it is told at most one every few seconds, the last there was by then.
 */
export function speak(predictions: Prediction[], isStream: boolean): void {
    const [first] = predictions;
    if (!first) return;
    next = `${first.label}, ${Math.round(100 * first.probability)} percent`;
    if (!isStream) return tell();
    waiting ??= setTimeout(tell, Math.max(0, lastTold + PAUSE - performance.now()));
}

function tell(): void {
    clearTimeout(waiting);
    waiting = undefined;
    lastTold = performance.now();
    // The same words again would be read again.
    if (spoken.textContent !== next) spoken.textContent = next;
}

/** Milliseconds between what is told of the camera's pictures. */
const PAUSE = 3000;
let next = "";
let lastTold = -PAUSE;
let waiting: ReturnType<typeof setTimeout> | undefined;
