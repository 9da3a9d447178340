"""Pictures classified over HTTP: one session, fed by a bounded queue in batches. `uvicorn --app-dir recipes/fastapi service:app`"""

import asyncio
import os
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import asdict

import googlenet
from fastapi import FastAPI, HTTPException, Query, Request, Response

BATCH, LARGEST = 8, 16_000_000  # pictures that are taken from the queue at once, bytes of a picture's file: at most
counts = Counter(pictures=0, bad_pictures=0, refused=0, batches=0)
waiting: asyncio.Queue = asyncio.Queue(int(os.environ.get("GOOGLENET_QUEUE", "64")))


async def work(session: googlenet.Session) -> None:
    """Classify what waits, for ever: while a picture is computed, threads decode the next ones of its batch."""
    while True:
        jobs = [await waiting.get()]
        while len(jobs) < BATCH and not waiting.empty():
            jobs.append(waiting.get_nowait())
        counts["batches"] += 1
        most = max(top for _, top, _ in jobs)
        results = await asyncio.to_thread(session.classify, [job[0] for job in jobs], most, errors="return")
        for (_, top, answer), result in zip(jobs, results):
            answer.set_result(result if isinstance(result, Exception) else result[:top])


@asynccontextmanager
async def lifespan(app: FastAPI):
    weights = os.environ.get("GOOGLENET_WEIGHTS")
    model = googlenet.Model.open(weights, map=True) if weights else googlenet.Model.demo()
    app.state.worker = asyncio.create_task(work(model.session()))
    yield
    app.state.worker.cancel()


app = FastAPI(title="googlenet", lifespan=lifespan)


@app.post("/classify")
async def classify(request: Request, top: int = Query(5, ge=1, le=1000)):
    picture, answer = bytearray(), asyncio.get_running_loop().create_future()
    async for piece in request.stream():
        picture += piece
        if len(picture) > LARGEST:
            raise HTTPException(413, f"more than {LARGEST} bytes")
    await healthz()
    if waiting.full():
        counts["refused"] += 1
        raise HTTPException(503, "the queue is full", {"Retry-After": "1"})
    waiting.put_nowait((picture, top, answer))
    await asyncio.wait([answer, app.state.worker], return_when=asyncio.FIRST_COMPLETED)
    result = answer.result() if answer.done() else await healthz()
    counts["bad_pictures" if isinstance(result, Exception) else "pictures"] += 1
    if isinstance(result, Exception):
        raise HTTPException(400 if isinstance(result, (googlenet.Error, ValueError)) else 500, str(result))
    return {"predictions": [asdict(prediction) for prediction in result]}


@app.get("/healthz")
async def healthz() -> Response:
    if app.state.worker.done():
        raise HTTPException(503, "the worker has ended")
    return Response("ok\n", media_type="text/plain")


@app.get("/metrics")
async def metrics() -> Response:
    lines = [f"# TYPE googlenet_{name}_total counter\ngooglenet_{name}_total {count}" for name, count in counts.items()]
    lines.append(f"# TYPE googlenet_queue_length gauge\ngooglenet_queue_length {waiting.qsize()}\n")
    return Response("\n".join(lines), media_type="text/plain; version=0.0.4")
