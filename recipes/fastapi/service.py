"""Pictures classified over HTTP: one session, fed by a bounded queue in batches. `uvicorn --app-dir recipes/fastapi service:app`"""

import asyncio
import os
from collections import Counter
from contextlib import asynccontextmanager

import googlenet
from fastapi import FastAPI, HTTPException, Query, Request, Response

BATCH = 8  # pictures that are taken from the queue at once, at most
LARGEST = 16_000_000  # bytes of a picture's file
counts = Counter({"pictures": 0, "bad_pictures": 0, "refused": 0, "batches": 0})
waiting: asyncio.Queue = asyncio.Queue(int(os.environ.get("GOOGLENET_QUEUE", "64")))


async def work(session: googlenet.Session) -> None:
    """Classify what waits, for ever: all of a batch is decoded by threads while its first pictures are computed."""
    while True:
        jobs = [await waiting.get()]
        while len(jobs) < BATCH and not waiting.empty():
            jobs.append(waiting.get_nowait())
        try:
            pictures = [picture for picture, _, _ in jobs]
            top = max(top for _, top, _ in jobs)
            results = await asyncio.to_thread(session.classify, pictures, top, errors="return")
        except Exception as error:  # none is known; whoever waits is to hear of it
            results = [error] * len(jobs)
        counts["batches"] += 1
        for (_, top, answer), result in zip(jobs, results):
            if not answer.done():  # as it is where the client has gone
                answer.set_result(result if isinstance(result, Exception) else result[:top])


@asynccontextmanager
async def lifespan(app: FastAPI):
    weights = os.environ.get("GOOGLENET_WEIGHTS")
    model = googlenet.Model.open(weights, map=True) if weights else googlenet.Model.demo()
    worker = asyncio.create_task(work(model.session()))
    yield
    worker.cancel()


app = FastAPI(title="googlenet", lifespan=lifespan)


@app.post("/classify")
async def classify(request: Request, top: int = Query(5, ge=1, le=1000)):
    picture = bytearray()
    async for piece in request.stream():
        picture += piece
        if len(picture) > LARGEST:
            raise HTTPException(413, f"more than {LARGEST} bytes")
    answer = asyncio.get_running_loop().create_future()
    try:
        waiting.put_nowait((picture, top, answer))
    except asyncio.QueueFull:
        counts["refused"] += 1
        raise HTTPException(503, "the queue is full", {"Retry-After": "1"}) from None
    result = await answer
    if isinstance(result, Exception):
        counts["bad_pictures"] += 1
        raise HTTPException(400 if isinstance(result, (googlenet.Error, ValueError)) else 500, str(result))
    counts["pictures"] += 1
    return {"predictions": [prediction._asdict() for prediction in result]}


@app.get("/healthz")
async def healthz() -> Response:
    return Response("ok\n", media_type="text/plain")


@app.get("/metrics")
async def metrics() -> Response:
    lines = [f"# TYPE googlenet_{name}_total counter\ngooglenet_{name}_total {count}" for name, count in counts.items()]
    lines.append(f"# TYPE googlenet_queue_length gauge\ngooglenet_queue_length {waiting.qsize()}\n")
    return Response("\n".join(lines), media_type="text/plain; version=0.0.4")
