"""The process that is every pod: run as ``python -m testbed.pod_server CONTROL_PORT``, driven by :mod:`testbed.pods`.

It listens on every address of the namespace; the local address of a connection tells which pod is being spoken to. A
pod that is gone, not ready, or past its grace resets. It speaks HTTP/1.1 by hand, because a framework would cost most
of the one core that the whole testbed has for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from typing import Any, cast

from testbed.pod_world import Pod, World, message_of

POD_PORT = 9000
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a network namespace that nothing else can reach
# Envoy may hear of a ready pod before this process does: a real pod answers from before it is called ready.
_EARLY_SECONDS = 1.0


class PodConnection(asyncio.Protocol):
    """One connection to one pod; requests on it are answered one after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""
        self._waiting = False
        self._pod: Pod | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find the pod that is being spoken to."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._address: str = transport.get_extra_info("sockname")[0]
        pod = self._world.by_address.get(self._address)
        if pod and pod.serving:
            self.attach(pod)
        elif pod and pod.ends_at is not None:
            self.reset()
        else:
            self._world.expect(self._address, self)
            self._patience = self._loop.call_later(_EARLY_SECONDS, self.reset)

    def attach(self, pod: Pod) -> None:
        """This is the pod that is being spoken to."""
        if self._patience:
            self._patience.cancel()
        self._pod = pod
        pod.connections.add(self)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._patience:
            self._patience.cancel()
        if self._pod:
            self._pod.connections.discard(self)
        else:
            self._world.expect_no_more(self._address, self)

    def reset(self) -> None:
        """Close with a TCP reset, as a host does where nothing listens any more."""
        handle = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(handle.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        self._buffer += data
        if self._pod:
            self._next()

    def _next(self) -> None:
        while not self._waiting:
            end = _request_end(self._buffer)
            if end is None:
                return
            path = self._buffer[:256].split(b" ", 2)[1]
            self._buffer = self._buffer[end:]
            self._serve(path)

    def _serve(self, path: bytes) -> None:
        pod = self._pod
        assert pod
        if path == b"/metrics":
            self._transport.write(
                message_of(200, pod.metrics().encode(), "content-type: text/plain; version=0.0.4\r\n")
            )
            return
        code = 500 if pod.behaviour.next_fails() else 200
        latency = pod.behaviour.latency_seconds
        if latency > 0:
            self._waiting = True
            self._loop.call_later(latency, self._answer_later, code, latency)
        else:
            pod.count(code, 0.0005)
            self._transport.write(pod.answers[code])

    def _answer_later(self, code: int, latency: float) -> None:
        self._waiting = False
        if self._transport.is_closing():
            return
        assert self._pod
        self._pod.count(code, latency)  # as it was told: how late a busy machine wakes this process is not the app's
        self._transport.write(self._pod.answers[code])
        self._next()


def _request_end(buffer: bytes) -> int | None:
    """Where the first request ends, or None while it is incomplete."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    end = head + 4
    fields = buffer[:head].lower()
    if (at := fields.find(b"\r\ncontent-length:")) >= 0:
        end += int(fields[at + 17 :].split(b"\r\n", 1)[0])
    elif b"\r\ntransfer-encoding:" in fields:
        last = buffer.find(b"0\r\n\r\n", end)
        end = last + 5 if last >= 0 else len(buffer) + 1
    return end if end <= len(buffer) else None


class ControlConnection(asyncio.Protocol):
    """Takes a JSON object by POST to ``/<what>`` and acts on it at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """An order is coming."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        self._buffer += data
        end = _request_end(self._buffer)
        if end is None:
            return
        request, self._buffer = self._buffer[:end], self._buffer[end:]
        path = request.split(b" ", 2)[1].decode()
        body = request.partition(b"\r\n\r\n")[2]
        try:
            answer = self._act(path, json.loads(body or b"{}"))
            self._transport.write(message_of(200, json.dumps(answer).encode()))
        except (KeyError, TypeError, ValueError) as error:
            self._transport.write(message_of(400, repr(error).encode()))

    def _act(self, path: str, order: dict[str, Any]) -> object:
        world = self._world
        if path == "/clusters":
            world.add_cluster(**order)
        elif path == "/clusters/remove":
            world.remove_cluster(**order)
        elif path == "/behaviour":
            behaviour = world.behaviour(order["namespace"], order["version"])
            behaviour.error_rate, behaviour.latency_seconds, behaviour.owed = (
                order["error_rate"],
                order["latency_seconds"],
                0.0,
            )
        elif path == "/gauges":
            world.behaviour(order["namespace"], order["version"]).gauges.update(order["gauges"])
        elif path == "/pods":
            return {
                address: {"namespace": p.namespace, "version": p.version, "serving": p.serving, "codes": p.codes}
                for address, p in world.by_address.items()
            }
        else:
            raise ValueError(f"no such order: {path}")
        return {}


async def _main(control_port: int) -> None:
    loop = asyncio.get_running_loop()
    world = World()
    await loop.create_server(lambda: PodConnection(world), EVERY_ADDRESS, POD_PORT, backlog=1024)
    await loop.create_server(lambda: ControlConnection(world), "127.0.0.1", control_port)
    await asyncio.Event().wait()


def run_loop(main: Any) -> None:
    """``asyncio.run`` on uvloop where it is installed: twice the requests per second."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


if __name__ == "__main__":
    run_loop(_main(int(sys.argv[1])))
