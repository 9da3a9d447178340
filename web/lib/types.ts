// What passes between a program and the module. None of it is a class: it is sent between workers.

/** One class and how likely it is. */
export interface Prediction {
    /** The class, counted from 0. */
    index: number;
    /** The class's name; empty if the weights have no labels. */
    label: string;
    /** 0 to 1; those of all classes add up to 1. */
    probability: number;
}

/** A layer of a network, or a module of branches of layers. */
export interface Layer {
    /** The name by which a session keeps its output. */
    name: string;
    kind:
        | "conv"
        | "max-pool"
        | "average-pool"
        | "global-average"
        | "lrn"
        | "inception"
        | "fully-connected"
        | "softmax";
    /** The side of the window, of what has one. */
    kernel?: number;
    /** The output's channels, rows and columns. */
    shape: [number, number, number];
    parameters: number;
    multiplyAdds: number;
    branches?: Layer[][];
}

/** What a model tells about itself. */
export interface Description {
    network: string;
    /** The published version of the network that the weights are of. */
    dialect: string;
    classes: number;
    /** The names of the classes; empty if the weights have none. */
    labels: string[];
    /** The side of the input, in pixels. */
    side: number;
    /** To how many pixels a picture's side is resized, of which the input is the middle, */
    resize: number;
    /** and by which rule, as `googlenet inspect` names it. */
    geometry: string;
    /** Layers with weights on the longest way from the input to the logits. */
    depth: number;
    parameters: number;
    multiplyAdds: number;
    /** The trunk's layers, in order. */
    layers: Layer[];
}

/** What a session is made for. */
export interface SessionOptions {
    /** Threads of a run, at most the model's; by default as many. */
    threads?: number;
    /** Images of a run, by default 1. */
    batch?: number;
    /** The input's side in pixels, by default the weights' own. */
    side?: number;
    /** Names of layers and modules whose outputs `endpoint` gives. */
    endpoints?: string[];
    /** Whether `classMap` is to work. */
    classMaps?: boolean;
    /** Whether to measure each layer's time. */
    profile?: boolean;
    /** `"portable"` computes with plain kernels, which are slow: the best set of the module is the default. */
    isa?: string;
}

/** What a session tells about itself. */
export interface SessionDescription {
    side: number;
    batch: number;
    threads: number;
    /** The instruction set that it computes with. */
    isa: string;
    /** What a run works in, beside the weights. */
    memoryBytes: number;
    /** Rows and columns of class maps, if the session keeps them. */
    classMapShape: [number, number] | null;
}

/** How much each position of a picture speaks for a class. */
export interface ClassMap {
    /** Rows and columns. */
    shape: [number, number];
    /** A value for each position: their mean and `bias` add up to the class's logit. */
    values: Float32Array;
    bias: number;
}

/** What a layer gave. */
export interface Endpoint {
    /** Channels, rows and columns, for one image. */
    shape: [number, number, number];
    /** `[batch, channels, rows, columns]` */
    values: Float32Array;
}

/** What one step of a run took. */
export interface LayerTime {
    /** The layers that it computes, joined by ` + `. */
    layers: string;
    kernel: string;
    /** Since the last reset, summed over threads. */
    milliseconds: number;
    multiplyAdds: number;
}

/** Pixels of four bytes: red, green, blue, and one that is not looked at. */
export interface Pixels {
    width: number;
    height: number;
    data: Uint8Array | Uint8ClampedArray;
}

/** How a file of another program is opened; a file of this project says all of that itself. */
export interface Opening {
    /** The names of the classes. */
    labels?: string[] | undefined;
    /** The preprocessing, as `googlenet convert --preset` takes it; by default that of the network's authors. */
    preset?: string | undefined;
}

/** What the module says of itself. */
export interface About {
    version: string;
    isa: string;
    /** Whether it can start threads. */
    threads: boolean;
}
