// The picture, and over it where a class was seen.

import type { ClassMap, Description } from "googlenet";
import { colour } from "./colour";
import { context, element } from "./dom";

const stage = element("stage");
const canvas = element<HTMLCanvasElement>("picture");
const overlay = element<HTMLCanvasElement>("map");
/** The longest side that is shown; the network sees the picture as it is. */
const LONGEST = 960;

/** Shows a picture that the browser can draw. */
export function show(source: CanvasImageSource, width: number, height: number, name: string): void {
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    const [shownWidth, shownHeight] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    if (canvas.width !== shownWidth || canvas.height !== shownHeight) {
        Object.assign(canvas, { width: shownWidth, height: shownHeight });
        Object.assign(overlay, { width: shownWidth, height: shownHeight });
    }
    context(canvas).drawImage(source, 0, 0, shownWidth, shownHeight);
    canvas.setAttribute("aria-label", name);
    stage.classList.add("full");
}

/** The part of the picture that the network sees, by its rule: left, top, width and height. */
export function seen({ side, resize, geometry }: Description, width: number, height: number): [number, number, number, number] {
    const share = geometry === "tf-slim" ? 0.875 : side / resize;
    const short = Math.min(width, height);
    const stretched = geometry.startsWith("warp") || geometry === "tf-slim";
    const [w, h] = stretched ? [width * share, height * share] : [short * share, short * share];
    return [(width - w) / 2, (height - h) / 2, w, h];
}

/** Draws how much each position speaks for a class; none clears it. */
export function showMap(map: ClassMap | undefined, description: Description): void {
    const drawing = context(overlay);
    drawing.clearRect(0, 0, overlay.width, overlay.height);
    if (!map) return;
    const [rows, columns] = map.shape;
    const [least, largest] = [Math.min(...map.values), Math.max(...map.values)];
    const small = new ImageData(columns, rows);
    map.values.forEach((value, i) => {
        const share = largest > least ? (value - least) / (largest - least) : 0;
        small.data.set([...colour(0.2 + 0.8 * share), Math.round(40 + 130 * share)], 4 * i);
    });
    const source = new OffscreenCanvas(columns, rows);
    source.getContext("2d")!.putImageData(small, 0, 0);
    const [x, y, w, h] = seen(description, overlay.width, overlay.height);
    drawing.imageSmoothingEnabled = true;
    drawing.imageSmoothingQuality = "high";
    drawing.drawImage(source, x, y, w, h);
    drawing.lineWidth = 2;
    drawing.strokeStyle = "#ffffffb0";
    drawing.strokeRect(x + 1, y + 1, w - 2, h - 2);
}
