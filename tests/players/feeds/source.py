"""A real HTTP server on this machine that plays the operator's API, faults included."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Reply:
    """What the server answers to one request. `raw` is sent as it stands instead of `body`; `cut` closes the line after that many bytes.
    `head_drip` and `drip` are seconds between the bytes of the headers and of the body; `length` is said instead of the body's own."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0.0
    cut: int | None = None
    head_drip: float = 0.0
    drip: float = 0.0
    length: int | None = None


@dataclass
class Asked:
    path: str
    query: dict[str, str]
    authorization: str


class Operator:
    """Answers by `answer(asked, number)`, where number counts requests from 1; remembers what it was asked."""

    def __init__(self, answer: Callable[[Asked, int], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.url = ""


@contextmanager
def running(answer: Callable[[Asked, int], Reply], tls: ssl.SSLContext | None = None) -> Iterator[Operator]:
    operator = Operator(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(
                parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}, self.headers.get("Authorization", "")
            )
            operator.asked.append(asked)
            reply = operator.answer(asked, len(operator.asked))
            if reply.delay:
                time.sleep(reply.delay)
            payload = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
            try:
                if "Date" in reply.headers:  # a source whose clock goes wrong
                    self.send_response_only(reply.status)
                else:
                    self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload) if reply.length is None else reply.length))
                head, self._headers_buffer = b"".join(self._headers_buffer) + b"\r\n", []
                self.write(head, reply.head_drip)
                self.write(payload if reply.cut is None else payload[: reply.cut], reply.drip)
            except OSError:
                return  # the client gave up waiting
            if reply.cut is not None:
                self.close_connection = True

        def write(self, content: bytes, pause: float) -> None:
            if not pause:
                self.wfile.write(content)
                return
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(pause)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    operator.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/api"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield operator
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
