"""The entry point of the `flow` command: errors become one line and an exit code."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from flows.cli import app
from pipeline.errors import KaosetError

STOPPED = 130  # 128 + SIGINT, as shells say it
GO_ON = "stopped; nothing is lost, the same command goes on from here"


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except KaosetError as error:
        print(f"flow: {error}", file=sys.stderr)  # noqa: T201 - the one place where errors are told
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"flow: {GO_ON}", file=sys.stderr)  # noqa: T201
        sys.exit(STOPPED)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that pools, boards and servers are closed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
