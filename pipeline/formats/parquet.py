"""`data_manifest.parquet`: the manifest with its types, for those who read columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.errors import WorldError
from pipeline.formats.crops import Crops, Published, one_line, same, whole
from pipeline.manifest import MANIFEST, ManifestRow

NAME = "data_manifest.parquet"
GROUP = 4096  # rows


def write(crops: Crops) -> None:
    """Write the same columns and rows as the manifest's, in groups of rows.

    Raises:
        WorldError: pyarrow is not installed.
    """
    pa, parquet = ready()
    path = crops.folder / NAME
    if path.exists():
        crops.tell(len(crops.rows))
        return
    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema([(one.name, kinds[str(one.type)]) for one in dataclasses.fields(ManifestRow)])
    with whole(path) as aside, parquet.ParquetWriter(aside, schema) as file:
        for start in range(0, len(crops.rows), GROUP):
            some = list(crops.rows[start : start + GROUP])  # made once, not for each column
            columns = {name: [getattr(one, name) for one in some] for name in schema.names}
            file.write_table(pa.table(columns, schema=schema))
            crops.tell(len(some))


def faults(release: Published) -> Iterator[str]:
    """Hold every cell against the manifest.

    Raises:
        WorldError: pyarrow is not installed.
    """
    pa, parquet = ready()
    try:
        with parquet.ParquetFile(release.folder / NAME) as file:
            columns = release.rows.columns()
            if file.schema_arrow.names != columns:
                yield f"{NAME}: other columns than {MANIFEST}"
                return
            if file.metadata.num_rows != release.count:
                yield f"{NAME}: {file.metadata.num_rows} rows, {release.count} in {MANIFEST}"
                return
            rows = (one for batch in file.iter_batches(GROUP) for one in batch.to_pylist())
            for number, (one, row) in enumerate(zip(rows, release.rows, strict=True), 1):
                wrong = [name for name in columns if not same(one.get(name), row[name])]
                if wrong:
                    yield f"{NAME}: row {number}: {wrong[0]} is not what {MANIFEST} says"
    except (OSError, ValueError, pa.ArrowException) as error:
        yield f"{NAME}: not readable ({one_line(error)})"


def ready() -> tuple[Any, Any]:
    """Give pyarrow and its Parquet.

    Raises:
        WorldError: It is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  large, and only this format needs it
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise WorldError(
            f"{NAME}: Parquet needs pyarrow, which is missing; pip install 'kaoset[parquet]', "
            'or leave "parquet" out of release.formats'
        ) from error
    return pa, parquet
