"""An opener of addresses whose `timeout` bounds a whole request: connecting, TLS, headers and body together.

The sockets of the standard library begin to count again at every read, so that a source which sends a byte now and then would be
listened to for ever. Only the look-up of the host's name keeps the time limit of the system's resolver.
"""

import http.client
import io
import socket
import time
import urllib.request
from functools import partial
from typing import Any


def deadline_opener(*handlers: Any) -> urllib.request.OpenerDirector:
    """Like `urllib.request.build_opener`. What is not complete `timeout` seconds after the beginning raises TimeoutError, while connecting
    inside an URLError."""
    return urllib.request.build_opener(_HTTPHandler, _HTTPSHandler, *handlers)


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the time of the request is over")
    return seconds


class _Body(io.RawIOBase):
    """What comes through `sock`, as long as there is time left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Body(self.fp.detach(), sock, deadline))


class _Deadlined(http.client.HTTPConnection):
    """A connection for one request, which begins when it is made."""

    def __init__(self, host: str, *, timeout: float, **kwargs: Any) -> None:
        super().__init__(host, timeout=timeout, **kwargs)
        self._deadline = time.monotonic() + timeout
        self.response_class = partial(_Response, deadline=self._deadline)  # type: ignore[assignment]
        self._create_connection = self._dial

    def _dial(self, address: tuple[str, int], _timeout: float, source_address: Any = None) -> socket.socket:
        """Connect to the first address of the host that answers; each has an equal share of the time that is left."""
        host, port = address
        found: list[Any] = [one[4][:2] for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        for position, one in enumerate(found):
            try:
                sock = socket.create_connection(one, _left(self._deadline) / (len(found) - position), source_address)
            except OSError:
                if position == len(found) - 1:
                    raise
            else:
                sock.settimeout(_left(self._deadline))
                return sock
        raise OSError(f"no address of {host} is known")


class _TLSDeadlined(_Deadlined, http.client.HTTPSConnection):
    pass


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Deadlined, request)  # type: ignore[arg-type]  # urllib always names the timeout


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TLSDeadlined, request)  # type: ignore[arg-type]
