"""Hides that the sandbox board is a process of its own beside a run, and ends with it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import WorldError


class OwnBoard:
    """A sandbox board that is started the first time that somebody asks for its address.

    Args:
        cache: Folder of what it has drawn.
        posts: How many it has.
        faults: Whether some of its answers go wrong.
        progress: Told how much of it is drawn.
        url: Where one runs already; none is started then.
    """

    def __init__(
        self, cache: Path, *, posts: int, faults: bool, progress: Callable[[str, int, int], None], url: str = ""
    ) -> None:
        self._options = ["--cache", str(cache), "--posts", str(posts), *(["--faults"] if faults else [])]
        self._progress = progress
        self._url = url
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._last_words = ""

    @property
    def url(self) -> str:
        """Where it answers.

        Raises:
            WorldError: It does not start.
        """
        if not self._url:
            self._url = self._start()
        return self._url

    def close(self) -> None:
        """Stop it, if it was started here."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            if self._listener is not None:
                self._listener.join()  # it reads to the end, which has come
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> str:
        command = [sys.executable, "-m", "pipeline.sandbox.board", "--die-with-parent", *self._options]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        url = self._process.stdout.readline().strip()
        if not url.startswith("http"):
            self._process.wait()
            self._listener.join()
            raise WorldError(f"the sandbox board did not start: {self._last_words or 'it said nothing'}")
        return url

    def _listen(self) -> None:
        """Read what the board says, so that it never waits for us; "drawn 12/600" is progress."""
        assert self._process is not None  # noqa: S101
        assert self._process.stderr is not None  # noqa: S101
        for line in self._process.stderr:
            word, _, numbers = line.strip().partition(" ")
            done, _, total = numbers.partition("/")
            if word == "drawn" and done.isdigit() and total.isdigit():
                self._progress("draw", int(done), int(total))
            elif line.strip():
                self._last_words = line.strip()
