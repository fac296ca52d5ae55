"""A Prefect server for as long as we need one: ours on loopback, or the one that PREFECT_API_URL names."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.errors import WorldError

START_TIMEOUT_S = 120.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def prepare(home: Path, log_level: str = "CRITICAL") -> None:
    """Set what Prefect reads at import: a home of our own, no telemetry, quiet logs. What is set already stands.

    Args:
        home: Made if it is not there.
        log_level: Of Prefect; a one-shot run tells its errors itself, in a line.
    """
    home.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": log_level,
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P2D",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextmanager
def running(port: int | None = None, *, ui: bool = False) -> Iterator[str]:
    """Yield the address of a server's API, started here unless PREFECT_API_URL names one.

    Prefect would start a temporary server itself, but leaves it behind when it is killed; this one dies with us.

    Raises:
        WorldError: It does not start, or its port is taken.
    """
    named = os.environ.get("PREFECT_API_URL")
    if named:
        yield named
        return
    port = _free(port)
    url = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PREFECT_UI_ENABLED": str(int(ui)), "PREFECT__SERVER_FINAL": "1"}
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "flows.server", str(port), str(os.getpid())],
        env=environment if ui else {**environment, "PREFECT__SERVER_EPHEMERAL": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C reaches us alone; a flow must be able to tell the server how it ended
    )
    try:
        _wait(url, process)
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free(port: int | None) -> int:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port or 0))
        except OSError as error:
            raise WorldError(f"port {port}: taken ({error.strerror}); choose another --port") from error
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise WorldError(f"Prefect's server ended with code {process.returncode}; try `flow run --no-prefect`")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - our own address on loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    process.kill()
    raise WorldError(f"Prefect's server did not answer in {START_TIMEOUT_S:.0f} s; try `flow run --no-prefect`")


def _serve(port: int, parent: int) -> None:
    """Become the server; on Linux the kernel ends it when its parent dies, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            return
    arguments = ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    options = ["--log-level", "error", "--lifespan", "on"]
    os.execv(sys.executable, [sys.executable, "-m", "uvicorn", *arguments, *options])  # noqa: S606 - the same interpreter


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
