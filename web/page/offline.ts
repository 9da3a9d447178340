// The service worker: keeps all of the page, so that it opens without a network, and answers with the headers that make it
// cross-origin isolated, without which there are no threads, where the web server does not send them.

declare const FILES: string[];
declare const VERSION: string;

interface Extendable extends Event {
    waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends Extendable {
    request: Request;
    respondWith(response: Promise<Response>): void;
}
interface Scope {
    addEventListener(type: "install" | "activate", listener: (event: Extendable) => void): void;
    addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
    skipWaiting(): Promise<void>;
    clients: { claim(): Promise<void> };
    location: Location;
}

const worker = self as unknown as Scope;
const NAME = `googlenet-${VERSION}`;

worker.addEventListener("install", (event) => {
    const keep = async () => {
        const cache = await caches.open(NAME);
        await cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })));
        await worker.skipWaiting();
    };
    event.waitUntil(keep());
});

worker.addEventListener("activate", (event) => {
    const clean = async () => {
        const names = await caches.keys();
        const old = names.filter((name) => name.startsWith("googlenet-") && name !== NAME);
        await Promise.all(old.map((name) => caches.delete(name)));
        await worker.clients.claim();
    };
    event.waitUntil(clean());
});

worker.addEventListener("fetch", (event) => {
    const { request } = event;
    const url = new URL(request.url);
    if (request.method !== "GET" || url.origin !== worker.location.origin) return;
    const answer = async () => {
        const kept = await caches.match(request, { ignoreSearch: true, cacheName: NAME });
        const response = kept ?? (await fetch(request));
        const headers = new Headers(response.headers);
        headers.set("Cross-Origin-Opener-Policy", "same-origin");
        headers.set("Cross-Origin-Embedder-Policy", "require-corp");
        const { status, statusText } = response;
        return new Response(response.body, { status, statusText, headers });
    };
    event.respondWith(answer());
});
