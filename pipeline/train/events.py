"""The numbers of a training for TensorBoard, where that is installed; else nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"


class Events:
    """What is written into the folder `tensorboard` of a run.

    Args:
        run_dir: Folder of the run.
        step: Where this call begins: what an interrupted one wrote after it is not shown.
    """

    def __init__(self, run_dir: Path, step: int) -> None:
        self._writer: Any = None
        if importlib.util.find_spec("tensorboard") is None:
            return
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - it may not be installed

        self._writer = SummaryWriter(str(run_dir / FOLDER), purge_step=step)

    def numbers(self, step: int, row: Mapping[str, float]) -> None:
        """Write a row of a table; what is no number is left out."""
        if self._writer is not None:
            for name, value in row.items():
                if name != "step" and value == value:  # noqa: PLR0124 - nan is not itself
                    self._writer.add_scalar(name.replace(":", "/"), value, step)
            self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
