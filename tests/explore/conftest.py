"""A server of the explorer on a port of its own, and a client that says what came back."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import pytest

from blurcore.explore.server import ExploreServer
from blurcore.explore.stepping import Stepper


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Client:
    """Asks one server, every time over a connection of its own."""

    def __init__(self, server: ExploreServer) -> None:
        self.server, self.port, self.address = server, server.server_address[1], server.address

    def ask(self, path: str, body: Any = None, **headers: str) -> Reply:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request("GET" if body is None else "POST", path, data, headers)
            reply = connection.getresponse()
            return Reply(reply.status, reply.read(), reply.headers)
        finally:
            connection.close()


@contextmanager
def serving(stepper: Stepper | None = None) -> Iterator[Client]:
    with ExploreServer(0, stepper) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield Client(server)
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with serving() as client:
        yield client


@pytest.fixture
def serve() -> Callable[[Stepper | None], AbstractContextManager[Client]]:
    """Start a server of one's own, for a run."""
    return serving
