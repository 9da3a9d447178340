// What each layer took in the last run, as bars.

import type { LayerTime } from "googlenet";
import { element, make } from "./dom";

const list = element("times");
const total = element("total");

/** The layer of the trunk, or the module, that a step belongs to: what its first layer's name has before the slash. */
export function owner(layers: string): string {
    return layers.split(/[/ ]/)[0]!;
}

/** The times of steps, summed by layers of the trunk and modules, in order. */
export function summed(times: LayerTime[]): [string, number][] {
    const sums = new Map<string, number>();
    for (const { layers, milliseconds } of times) {
        sums.set(owner(layers), (sums.get(owner(layers)) ?? 0) + milliseconds);
    }
    return [...sums];
}

export function showTimes(times: LayerTime[], milliseconds: number, threads: number): void {
    const sums = summed(times);
    const longest = Math.max(...sums.map(([, time]) => time), 1e-3);
    const many = threads > 1 ? `, ${threads} threads; a layer's time is the sum of theirs` : ", one thread";
    total.textContent = `${milliseconds.toFixed(1)} ms in all${many}.`;
    list.replaceChildren(
        ...sums.map(([name, time]) => {
            const bar = Object.assign(make("progress", ""), { max: longest, value: time });
            bar.setAttribute("aria-hidden", "true");
            const label = make("span", "name", name);
            label.title = name;
            return make("li", "", label, bar, make("span", "value", `${time.toFixed(2)} ms`));
        }),
    );
}
