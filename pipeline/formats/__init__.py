"""The table of what a release may hold beside images, manifest and arrays: one module a format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.formats import huggingface, imagefolder, parquet, stylegan, webdataset
from pipeline.formats.crops import Crops, Published


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is written, and how its own readers' rules find what is wrong with it."""

    ready: Callable[[], object]  # raises a WorldError where a package is missing
    write: Callable[[Crops], None]  # goes on where a killed run stopped; a file under its last name is whole
    faults: Callable[[Published], Iterator[str]]


def _nothing_needed() -> None:
    pass


FORMATS: dict[str, Format] = {
    "stylegan": Format(_nothing_needed, stylegan.write, stylegan.faults),
    "imagefolder": Format(_nothing_needed, imagefolder.write, imagefolder.faults),
    "huggingface": Format(_nothing_needed, huggingface.write, huggingface.faults),
    "webdataset": Format(_nothing_needed, webdataset.write, webdataset.faults),
    "parquet": Format(parquet.ready, parquet.write, parquet.faults),
}
