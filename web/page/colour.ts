// Colours of values: from dark blue by green to yellow, lighter as values grow, so that they are told apart without colours.

const STOPS = [
    [22, 24, 66],
    [33, 96, 140],
    [53, 160, 126],
    [170, 205, 70],
    [252, 240, 120],
] as const;

/** The colour of a value from 0 to 1. */
export function colour(value: number): [number, number, number] {
    const at = Math.min(Math.max(value, 0), 1) * (STOPS.length - 1);
    const below = Math.min(Math.floor(at), STOPS.length - 2);
    const share = at - below;
    const [from, to] = [STOPS[below]!, STOPS[below + 1]!];
    const mixed = (i: 0 | 1 | 2) => Math.round(from[i] + (to[i] - from[i]) * share);
    return [mixed(0), mixed(1), mixed(2)];
}
