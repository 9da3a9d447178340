// Pictures to pixels: the browser decodes them, and this package only reads what it decoded.

import type { Pixels } from "./types.js";

/** What a session takes for a picture; under Node.js `Pixels` alone. */
export type Picture =
    | Pixels
    | ImageData
    | ImageBitmap
    | Blob
    | HTMLImageElement
    | HTMLVideoElement
    | HTMLCanvasElement
    | OffscreenCanvas;

/**
 * What gives a picture's pixels. Those of what is drawn are taken at once, as a canvas or a video soon shows something else; a
 * file is decoded when it is asked for, so that many that wait do so undecoded.
 */
export function taken(picture: Picture): () => Promise<Pixels> {
    if ("data" in picture) {
        const { width, height, data } = picture as Pixels;
        return async () => ({ width, height, data });
    }
    if (picture instanceof Blob) return () => decoded(picture);
    if (typeof ImageBitmap !== "undefined" && picture instanceof ImageBitmap) {
        const pixels = ofBitmap(picture);
        return () => pixels;
    }
    const [width, height] =
        "videoWidth" in picture
            ? [picture.videoWidth, picture.videoHeight]
            : "naturalWidth" in picture
              ? [picture.naturalWidth, picture.naturalHeight]
              : [picture.width, picture.height];
    const pixels = drawn(picture, width, height);
    return async () => pixels;
}

async function decoded(file: Blob): Promise<Pixels> {
    // Turned as the file's EXIF orientation says, else as the file has them: no profile is applied, and no colour multiplied
    // by its opacity.
    const bitmap = await createImageBitmap(file, {
        imageOrientation: "from-image",
        colorSpaceConversion: "none",
        premultiplyAlpha: "none",
    });
    try {
        return await ofBitmap(bitmap);
    } finally {
        bitmap.close();
    }
}

/** A bitmap's pixels, which are taken at once; the promise never fails. */
function ofBitmap(bitmap: ImageBitmap): Promise<Pixels> {
    const pixels = drawn(bitmap, bitmap.width, bitmap.height);
    const isOpaque = pixels.data.every((value, i) => i % 4 !== 3 || value === 255);
    // A canvas multiplies colours by their opacity, and so has none where there is no opacity. What reads a picture natively
    // drops its opacity.
    return isOpaque ? Promise.resolve(pixels) : colours(bitmap).then((found) => found ?? pixels);
}

/** The colours of a bitmap without its opacity; undefined where a browser does not give them. */
async function colours(bitmap: ImageBitmap): Promise<Pixels | undefined> {
    let frame: VideoFrame | undefined;
    try {
        frame = new VideoFrame(bitmap, { timestamp: 0, alpha: "discard" });
        const order = frame.format?.startsWith("BGR") ? [2, 1, 0] : frame.format?.startsWith("RGB") ? [0, 1, 2] : undefined;
        if (!order) return undefined;
        const { width, height } = bitmap;
        const stored = new Uint8Array(4 * width * height);
        if (frame.allocationSize() !== stored.length) return undefined;
        await frame.copyTo(stored);
        const data = new Uint8Array(stored.length).fill(255);
        for (let at = 0; at < data.length; at += 4) {
            for (const [channel, from] of order.entries()) data[at + channel] = stored[at + from]!;
        }
        return { width, height, data };
    } catch {
        return undefined;
    } finally {
        frame?.close();
    }
}

let canvas: OffscreenCanvas | undefined;

function drawn(source: CanvasImageSource, width: number, height: number): Pixels {
    if (width === 0 || height === 0) throw new Error("the picture has no pixels yet");
    canvas ??= new OffscreenCanvas(width, height);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    context.clearRect(0, 0, width, height);
    context.drawImage(source, 0, 0, width, height);
    return { width, height, data: context.getImageData(0, 0, width, height).data };
}
