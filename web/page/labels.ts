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

/** Tells a screen reader, which reads what changes, at most every few seconds. */
export function speak(predictions: Prediction[]): void {
    const now = performance.now();
    const [first] = predictions;
    if (!first || (now - lastSpoken < 3000 && spoken.textContent)) return;
    lastSpoken = now;
    spoken.textContent = `${first.label}, ${Math.round(100 * first.probability)} percent`;
}

let lastSpoken = 0;
