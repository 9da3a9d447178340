// The camera: what it sees, one picture at a time, until it is turned off.

import { element } from "./dom";

const button = element<HTMLButtonElement>("camera");
let state: "off" | "asking" | "on" = "off";
let stream: MediaStream | undefined;
/** Counts how often the camera was turned on or off: whoever finds another number than his own is to end. */
let turn = 0;

/** Whether the camera's pictures are looked at. */
export const isOn = () => state === "on";

/**
 * Turns the camera on or off. Once it is on it calls `begun`, and then `see` with what the camera shows, each time that is done.
 * While a person is asked whether the page may use the camera nothing is done, as the question is there already.
 */
export async function toggle(begun: () => void, see: (video: HTMLVideoElement) => Promise<void>): Promise<void> {
    if (state === "asking") return;
    if (state === "on") return turnOff();
    const own = become("asking");
    let opened: MediaStream | undefined;
    try {
        opened = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: false });
        if (turn !== own) return;
        stream = opened;
        const video = document.createElement("video");
        Object.assign(video, { srcObject: opened, muted: true, playsInline: true });
        await video.play();
        if (turn !== own) return;
        const running = become("on");
        begun();
        while (turn === running) {
            if (video.videoWidth > 0) await see(video);
            await new Promise(requestAnimationFrame);
        }
    } catch (error) {
        // Who brought a picture meanwhile wants the camera no more.
        if (turn !== own) return;
        turnOff();
        throw new Error(`the camera cannot be used: ${error instanceof Error ? error.message : error}`);
    } finally {
        end(opened);
    }
}

/** Turns the camera off; a question that a person has not answered yet leads to nothing. */
export function turnOff(): void {
    end(stream);
    stream = undefined;
    become("off");
}

function become(next: typeof state): number {
    state = next;
    button.setAttribute("aria-pressed", String(state === "on"));
    button.setAttribute("aria-disabled", String(state === "asking"));
    turn += 1;
    return turn;
}

function end(stream: MediaStream | undefined): void {
    stream?.getTracks().forEach((track) => track.stop());
}
