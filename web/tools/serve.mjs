// A web server for a folder on this machine: `node tools/serve.mjs [FOLDER] [PORT]`, by default dist/page and 8080. It sends
// the headers that make a page cross-origin isolated, so that there are threads on the first visit.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".wasm": "application/wasm",
};

/** Serves folders by the paths that begin their addresses, the longest first; `isolated` sends the headers. */
export async function serve(folders, { port = 0, isolated = true } = {}) {
    const prefixes = Object.keys(folders).sort((a, b) => b.length - a.length);
    const server = createServer(async (request, response) => {
        const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
        const prefix = prefixes.find((prefix) => path.startsWith(prefix));
        const inside = prefix === undefined ? "" : path.slice(prefix.length);
        const file = prefix === undefined ? "" : join(folders[prefix], inside === "" ? "index.html" : inside);
        const found = file && !path.includes("..") ? await stat(file).catch(() => undefined) : undefined;
        if (!found?.isFile()) {
            response.writeHead(404).end("not found");
            return;
        }
        const headers = {
            "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
            "Content-Length": found.size,
            "Cache-Control": "no-cache",
        };
        if (isolated) {
            headers["Cross-Origin-Opener-Policy"] = "same-origin";
            headers["Cross-Origin-Embedder-Policy"] = "require-corp";
        }
        response.writeHead(200, headers);
        createReadStream(file).pipe(response);
    });
    await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
    const { port: own } = server.address();
    const close = () => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
    };
    return { url: `http://localhost:${own}/`, close };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const [folder = "dist/page", port = "8080"] = process.argv.slice(2);
    const { url } = await serve({ "/": folder }, { port: Number(port) });
    console.log(url);
}
