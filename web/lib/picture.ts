// Pictures to pixels: the browser decodes them, and this package only reads what it decoded.

import type { Pixels } from "./types";

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

export async function pixels(picture: Picture): Promise<Pixels> {
    if ("data" in picture) return { width: picture.width, height: picture.height, data: picture.data as Pixels["data"] };
    if (picture instanceof Blob) {
        // As the file has them: no profile is applied, and no colour multiplied by its opacity.
        const bitmap = await createImageBitmap(picture, {
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
    if ("videoWidth" in picture) return drawn(picture, picture.videoWidth, picture.videoHeight);
    if ("naturalWidth" in picture) return drawn(picture, picture.naturalWidth, picture.naturalHeight);
    return drawn(picture, picture.width, picture.height);
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
