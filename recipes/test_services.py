"""Both services, started on 127.0.0.1, asked, and ended. `GOOGLENET_AXUM` is the Rust service's program."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import googlenet
import pytest

HERE = Path(__file__).resolve().parent
CAT = (HERE.parent / "weights" / "chelsea.png").read_bytes()


class Service:
    """A service in a process of its own, with a queue of four."""

    def __init__(self, kind: str | Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.at = f"http://127.0.0.1:{port}"
        environment = {**os.environ, "GOOGLENET_QUEUE": "4", "PORT": str(port), "HOST": "127.0.0.1"}
        environment.pop("GOOGLENET_WEIGHTS", None)
        if kind == "axum":
            command = [os.environ["GOOGLENET_AXUM"]]
        else:
            command = [sys.executable, "-m", "uvicorn", "--app-dir", str(kind), "service:app", "--port", str(port)]
        self.process = subprocess.Popen(command, env=environment)
        until = time.monotonic() + 30
        while True:
            try:
                assert self.ask("/healthz") == (200, b"ok\n")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.end()
                    raise
                time.sleep(0.05)

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.at + path, body), timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def count(self, name: str) -> int:
        text = self.ask("/metrics")[1].decode()
        # Prometheus's text format: lines of a name and a number, or comments.
        assert all(re.fullmatch(r"# TYPE \w+ (counter|gauge)|\w+ \d+", line) for line in text.splitlines()), text
        (found,) = re.findall(rf"^googlenet_{name} (\d+)$", text, re.M)
        return int(found)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(
    scope="module",
    params=[HERE / "fastapi", pytest.param("axum", marks=pytest.mark.skipif("GOOGLENET_AXUM" not in os.environ, reason="not built"))],
)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    made = Service(request.param)
    yield made
    made.end()


def test_a_picture_is_classified_as_by_a_session(service: Service) -> None:
    status, body = service.ask("/classify?top=3", CAT)
    assert status == 200
    found = json.loads(body)["predictions"]
    session = googlenet.Model.demo().session()
    expected = session.classify(CAT, 3)
    assert [one["label"] for one in found] == [one.label for one in expected]
    # JSON has the shortest text of an f32 from Rust, that of the f64 from Python.
    assert [one["probability"] for one in found] == pytest.approx([one.probability for one in expected], rel=1e-7)
    assert len(json.loads(service.ask("/classify", CAT)[1])["predictions"]) == 5
    assert service.count("pictures_total") == 2


def test_bad_requests_are_told_what_is_wrong(service: Service) -> None:
    bad = service.count("bad_pictures_total")
    for body, words in ((b"no picture", "no picture (JPEG"), (b"", ""), (CAT[:5000], "")):
        status, answer = service.ask("/classify", body)
        assert status == 400 and words in json.loads(answer)["detail"]
    assert service.count("bad_pictures_total") == bad + 3
    assert service.ask("/classify?top=0", CAT)[0] == 422
    assert service.ask("/classify", bytes(16_000_001))[0] == 413
    assert service.ask("/elsewhere")[0] == 404
    assert service.ask("/classify", CAT)[0] == 200


def test_a_full_queue_refuses_and_all_others_are_answered(service: Service) -> None:
    """64 requests of 32 clients, of which at most 12 can wait or be computed at a time."""
    before = service.count("pictures_total"), service.count("refused_total"), service.count("batches_total")
    with ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda _: service.ask("/classify?top=1", CAT), range(64)))
    assert {status for status, _ in answers} == {200, 503}
    right = [json.loads(body)["predictions"][0]["label"] for status, body in answers if status == 200]
    assert set(right) == {"cat"}
    assert service.count("pictures_total") - before[0] == len(right)
    assert service.count("refused_total") - before[1] == 64 - len(right)
    assert service.count("batches_total") - before[2] < len(right), "no two were taken at once"
    assert service.count("queue_length") == 0
    assert service.ask("/healthz") == (200, b"ok\n")


def test_a_worker_that_has_ended_is_told(tmp_path: Path) -> None:
    """Of the Python service; the Rust one has a test of its own."""
    (tmp_path / "service.py").write_text(
        "import sys, types, googlenet\n"
        f"sys.path[0] = {str(HERE / 'fastapi')!r}\n"
        "class Broken:\n"
        "    demo = classmethod(lambda cls: cls())\n"
        "    session = lambda self: self\n"
        "    def classify(self, *_, **__):\n"
        "        raise BaseException('as a panic is')\n"
        "googlenet.Model = Broken\n"
        "del sys.modules['service']\n"
        "from service import app\n"
    )
    service = Service(tmp_path)
    try:
        assert service.ask("/healthz") == (200, b"ok\n")
        for _ in range(3):
            status, answer = service.ask("/classify", CAT)
            assert status == 503 and b"the worker has ended" in answer
        assert service.ask("/healthz")[0] == 503
        assert service.count("refused_total") == service.count("bad_pictures_total") == 0
    finally:
        service.end()


@pytest.mark.skipif("GOOGLENET_AXUM" not in os.environ, reason="not built")
def test_the_container_s_signal_ends_the_service_in_order() -> None:
    (name,) = re.findall(r"^STOPSIGNAL (\w+)$", (HERE / "Containerfile").read_text(), re.M)
    service = Service("axum")
    service.process.send_signal(signal.Signals[name])
    assert service.process.wait(10) == 0
