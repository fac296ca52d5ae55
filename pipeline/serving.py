"""Hides a web server of our own: it listens, and serves an application from a thread of this process."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from pipeline.errors import WorldError


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes any free one.

    Raises:
        WorldError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OverflowError:
        raise WorldError(f"port {port}: is no port; choose one from 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise WorldError(f"port {port}: is in use on {host}; choose another, or 0 for any free one") from error
        raise WorldError(f"port {port}: cannot be had on {host} ({error.strerror}); choose another") from error
    # Connections inherit it; asyncio does it only for sockets that name their protocol, else answers wait for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextmanager
def serving(application: ASGIApp, listener: socket.socket, name: str, **more: Any) -> Iterator[threading.Thread]:
    """Serve an application on a port that was taken, until the block ends.

    Args:
        application: What answers.
        listener: As `listen` gives it.
        name: Of the thread.
        more: For `uvicorn.Config`.

    Yields:
        The thread; it ends early only where the server cannot go on.
    """
    config = uvicorn.Config(
        application,
        **more,
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name=name, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield thread
    finally:
        server.should_exit = True
        thread.join()
