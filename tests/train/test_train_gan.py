"""What a caller without PyTorch sees of training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import RecipeError
from pipeline.train import TrainConfig


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_reading_the_configuration_loads_no_torch() -> None:
    """Recipes and commands stay quick, and work where PyTorch is not installed."""
    heavy = "{'torch', 'matplotlib', 'safetensors', 'numpy'}"
    done = python(f"import sys, pipeline.train; print(sorted({heavy} & set(sys.modules)))")

    assert done.stdout.strip() == "[]"


def test_without_torch_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    """A world that lacks something, not a traceback from the depths."""
    code = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # what an import of a package that is not there meets
from pipeline.errors import WorldError
from pipeline.train import TrainConfig, train_gan
try:
    train_gan(Path(sys.argv[1]), Path(sys.argv[1]) / "run", TrainConfig())
except WorldError as error:
    print(error)
"""
    done = python(code, tmp_path)

    assert done.stdout == (
        'torch: not installed, and training needs it; run `pip install "kaoset[train]"` or `make train-deps`\n'
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 48),
        ("network", "vae"),
        ("penalty_weight", -1),
        ("penalty_reach", 0),
        ("blocks", -1),
        ("draw", "class"),
        ("batch", 1),
        ("width", 0),
        ("kimg", 0),
        ("kimg", float("nan")),
        ("lr", -1e-4),
        ("beta1", 1.0),
        ("label_smoothing", 0.6),
        ("keep_last", 0),
        ("threads", 0),
    ],
)
def test_a_configuration_that_cannot_be_trained_is_refused(field: str, value: float) -> None:
    """The line names the field as the recipe writes it, its value, and what to choose."""
    with pytest.raises(RecipeError, match=rf"train\.{field} = {value}: cannot be trained with; .*choose "):
        TrainConfig(**{field: value})  # type: ignore[arg-type]
