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
        return drawn(bitmap, bitmap.width, bitmap.height);
    } finally {
        bitmap.close();
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
