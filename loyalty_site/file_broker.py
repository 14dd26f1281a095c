"""The message broker of one machine without a server: kombu's file transport, with messages and bindings that appear whole.

kombu writes a message where readers look for it, so that a reader that comes between its creation and its content takes an empty
message, and ends the worker. Here a file is written beside its place and renamed into it, which the system does at once.
"""

import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

logger = logging.getLogger(__name__)
_HIDDEN = "."  # a name with a dot in front belongs to no queue


def install() -> None:
    """Make `filesystem://` mean this transport, in every process that sends or takes messages."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"


def _write_whole(path: Path, content: str) -> None:
    """`path` never exists with a part of `content`. Raises ChannelError naming the file (a full disk, missing rights)."""
    making = path.with_name(f"{_HIDDEN}{uuid.uuid4()}.making")
    try:
        making.write_text(content)
        os.replace(making, path)
    except OSError as error:
        with suppress(OSError):
            making.unlink()
        raise ChannelError(f"cannot write {path}: {error.strerror}") from error


class Channel(filesystem.Channel):
    def get_table(self, exchange: str) -> list[Any]:
        try:
            rows = loads(self._exchange_file(exchange).read_text())
        except FileNotFoundError:
            return []
        return [filesystem.exchange_queue_t(*row) for row in rows]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        wanted = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self.control_folder.mkdir(exist_ok=True)
        with self._only_writer(exchange):
            table = self.get_table(exchange)
            if wanted not in table:
                _write_whole(self._exchange_file(exchange), dumps([wanted, *table]))

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        gone = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with self._only_writer(exchange):
            table = self.get_table(exchange)
            if gone in table:
                _write_whole(self._exchange_file(exchange), dumps([row for row in table if row != gone]))
        self._purge(queue)

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:  # type: ignore[override] # the bases disagree on names
        name = f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"  # readers go by name, so by time
        _write_whole(Path(self.data_folder_out) / name, dumps(payload))

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            claimed = folder / f"{_HIDDEN}{name}.taken"
            try:
                os.rename(folder / name, claimed)  # of several readers one succeeds
            except FileNotFoundError:
                continue
            content = claimed.read_bytes()
            claimed.unlink()
            try:
                message: dict[str, Any] = loads(content.decode())
            except (UnicodeDecodeError, json.JSONDecodeError):
                logger.error("broker.message_unreadable name=%s bytes=%d", name, len(content))  # left by a crash of the machine
                continue
            return message
        raise Empty

    @contextmanager
    def _only_writer(self, exchange: str) -> Iterator[None]:
        path = self._exchange_file(exchange)
        with path.with_name(f"{path.name}.lock").open("a") as file:
            filesystem.lock(file, filesystem.LOCK_EX)
            yield


class Transport(filesystem.Transport):
    Channel = Channel
