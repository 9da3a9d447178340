// The distribution's Chromium, without a window: Debian's package `chromium`, or the program that CHROMIUM names.

import { chromium } from "playwright-core";

export function launch(...args) {
    return chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        args: [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            ...args,
        ],
    });
}
