"""The broker in files: what a reader sees while others write."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection
from kombu.transport import filesystem

from loyalty_site import file_broker
from loyalty_site.celery import app


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[file_broker.Channel]:
    (tmp_path / "queue").mkdir()
    options = {"data_folder_in": f"{tmp_path}/queue", "data_folder_out": f"{tmp_path}/queue", "control_folder": f"{tmp_path}/control"}
    with Connection("filesystem://", transport_options=options) as connection:
        yield connection.channel()


def test_transport__celery_application_loaded__files_mean_ours() -> None:
    assert app.main == "loyalty_site"
    with Connection("filesystem://") as connection:
        assert connection.transport_cls is not filesystem.Transport
        assert isinstance(connection.transport, file_broker.Transport)


def test_messages__several_queues__each_comes_once_in_order(channel: file_broker.Channel) -> None:
    for number in range(3):
        channel._put("celery", {"body": number})
    channel._put("other", {"body": "x"})
    assert [channel._get("celery")["body"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Empty):
        channel._get("celery")
    assert channel._size("other") == 1
    assert channel._get("other") == {"body": "x"}
    assert os.listdir(channel.data_folder_in) == []


def test_message__not_yet_whole__no_reader_takes_it(channel: file_broker.Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace
    seen = []

    def look_first(source: Path, target: Path) -> None:
        seen.append(channel._size("celery"))
        with pytest.raises(Empty):
            channel._get("celery")
        real(source, target)

    monkeypatch.setattr(file_broker.os, "replace", look_first)
    channel._put("celery", {"body": 1})
    assert seen == [0]
    assert channel._get("celery") == {"body": 1}


def test_message__left_empty_by_a_crash__is_passed_over_and_logged(channel: file_broker.Channel, caplog: pytest.LogCaptureFixture) -> None:
    (Path(channel.data_folder_in) / "00000000000000000000_x.celery.msg").touch()
    channel._put("celery", {"body": 2})
    assert channel._get("celery") == {"body": 2}
    assert "broker.message_unreadable name=00000000000000000000_x.celery.msg bytes=0" in caplog.text
    with pytest.raises(Empty):
        channel._get("celery")


_SENDER = """
import sys
from kombu import Connection
from loyalty_site import file_broker
file_broker.install()
folder, who = sys.argv[1:]
options = {"data_folder_in": f"{folder}/queue", "data_folder_out": f"{folder}/queue", "control_folder": f"{folder}/control"}
with Connection("filesystem://", transport_options=options) as connection:
    channel = connection.channel()
    for number in range(200):
        channel._queue_bind("exchange", "key", "", f"queue-{who}-{number % 10}")
        channel._put("celery", {"body": f"{who}-{number}" + "x" * 20_000})
"""


def test_messages__two_senders_and_two_readers__none_is_cut_lost_or_taken_twice(channel: file_broker.Channel, tmp_path: Path) -> None:
    senders = [subprocess.Popen([sys.executable, "-c", _SENDER, str(tmp_path), who], cwd=Path(__file__).parents[2]) for who in "ab"]
    taken: list[str] = []
    lock = threading.Lock()

    def read() -> None:
        last_round = False
        while True:
            try:
                body = channel._get("celery")["body"]
            except Empty:
                if last_round:
                    return
                last_round = all(sender.poll() is not None for sender in senders)
                continue
            with lock:
                taken.append(body)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert [sender.wait(10) for sender in senders] == [0, 0]
    assert sorted(taken) == sorted(f"{who}-{number}" + "x" * 20_000 for who in "ab" for number in range(200))
    bound = json.loads((tmp_path / "control" / "exchange.exchange").read_text())
    assert sorted(row[2] for row in bound) == sorted(f"queue-{who}-{number}" for who in "ab" for number in range(10))
