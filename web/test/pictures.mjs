// Small pictures, as files: what a test needs to know every pixel of, or to write a tag into.

import { deflateSync } from "node:zlib";

/** A PNG of four bytes a pixel: red, green, blue and opacity. */
export function png({ width, height, data }) {
    const head = Buffer.alloc(13);
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    head.set([8, 6], 8);
    // Each row begins with the number of its filter, here none.
    const rows = Array.from({ length: height }, (_, y) => [0, ...data.subarray(4 * width * y, 4 * width * (y + 1))]);
    const chunks = [chunk("IHDR", head), chunk("IDAT", deflateSync(Buffer.from(rows.flat()))), chunk("IEND", Buffer.alloc(0))];
    return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...chunks]);
}

function chunk(name, data) {
    const checked = Buffer.concat([Buffer.from(name), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc(checked));
    return Buffer.concat([length, checked, sum]);
}

/** CRC-32, as PNG has it (W3C, Portable Network Graphics, annex D). */
function crc(bytes) {
    let sum = 0xffffffff;
    for (const byte of bytes) {
        sum ^= byte;
        for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
    }
    return ~sum >>> 0;
}

/** A picture of one colour. */
export function plain(width, height, ...colour) {
    return { width, height, data: Uint8Array.from({ length: 4 * width * height }, (_, i) => [...colour, 255][i % 4]) };
}

/** A JPEG with an EXIF orientation: 1 to 8, of which 6 says that what is stored is to be turned clockwise. */
export function oriented(jpeg, orientation) {
    // A TIFF header, and a directory of one entry: tag 0x112, a 16-bit number.
    const exif = Buffer.from("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0", "latin1");
    exif.writeUInt16BE(orientation, 24);
    const marker = Buffer.of(0xff, 0xe1, 0, exif.length + 2);
    return Buffer.concat([jpeg.subarray(0, 2), marker, exif, jpeg.subarray(2)]);
}
