// Which of the builds a browser can load: WebAssembly has no way to ask at run time, so a module that only has one
// instruction of a kind is offered for validation.

/** The builds of the module, by the instructions that they need. */
export type Build = "simd128" | "relaxed";

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
// One function without arguments, which gives a vector.
const TYPES = [1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0];
// i32.const 0, i8x16.splat
const ZEROS = [0x41, 0, 0xfd, 0x0f];

function validates(...body: number[]): boolean {
    const code = [0, ...body, 0x0b];
    return WebAssembly.validate(new Uint8Array([...HEADER, ...TYPES, 10, code.length + 2, 1, code.length, ...code]));
}

/** The best build that this browser loads; undefined if it has no 128-bit SIMD. */
export function best(): Build | undefined {
    // f32x4.relaxed_madd
    if (validates(...ZEROS, ...ZEROS, ...ZEROS, 0xfd, 0x85, 0x02)) return "relaxed";
    // i8x16.popcnt, the last to join the proposal
    return validates(...ZEROS, 0xfd, 0x62) ? "simd128" : undefined;
}

/** How many threads a session can have here. */
export function mostThreads(): number {
    const isolated = typeof crossOriginIsolated !== "undefined" && crossOriginIsolated;
    return isolated && typeof Worker !== "undefined" ? Math.max(1, navigator.hardwareConcurrency) : 1;
}
