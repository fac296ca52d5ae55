"""The entry point of the `flow` command: errors become one line and an exit code."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import typer

from flows.cli import app
from flows.show import harmless
from pipeline.errors import KaosetError

STOPPED = 130  # 128 + SIGINT, as shells say it
GO_ON = "stopped; nothing is lost, the same command goes on from here"


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # Standing alone, Typer would end the program itself: several lines for an error, none for Ctrl-C.
        code = app(prog_name="flow", standalone_mode=False) or 0
        if code == STOPPED:
            _tell(f"flow: {GO_ON}")
    except KaosetError as error:
        code = error.exit_code
        _tell(f"flow: {harmless(str(error))}")  # it may quote what somebody else wrote
    except typer.TyperException as error:
        code = error.exit_code
        _tell(_of_usage(error))
    except KeyboardInterrupt:
        code = STOPPED
        _tell(f"flow: {GO_ON}")
    sys.exit(code)


def _of_usage(error: typer.TyperException) -> str:
    """Say in one line what is wrong with the words that were typed; where there were too few, they are the help."""
    message = error.format_message()
    if "\n" in message:
        return message
    asked = getattr(error, "ctx", None)
    return f"flow: {message.rstrip('.')}; see `{asked.command_path if asked else 'flow'} --help`"


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the one place where errors are told


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that pools, boards and servers are closed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
