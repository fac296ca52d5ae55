"""Hides what is known of a crop when the queue is put in order: numbers that the stages wrote down, and its looks.

Looks are a vector that a crop's pixels alone decide, by a fixed formula: nothing in it was learnt, from drawings or
from anything else, so it says as much of one person's pictures as of another's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StoreError
from pipeline.pixels import Pixels

NAMES = (
    "score",
    "agreed",
    "seen",
    "side",
    "share",
    "x",
    "y",
    "faces",
    "sharpness",
    "contrast",
    "chroma",
    "padded",
    "turned",
)
SCORE = NAMES.index("score")
EMBEDDING = 1  # version; raised when the same pixels give another vector, and what was kept is forgotten
_SIDE = 64  # pixels at which a crop is looked at: finer lines say nothing of whether there is a face
_CELL, _BINS = 8, 9  # pixels; directions of an edge, as Dalal and Triggs have them
_BLOCKS = _SIDE // _CELL - 1  # of two cells a side, overlapping, each evened out by its own contrast
_WAVES = 4  # of each axis, the longest; on hard pictures 3 lose a fifth of what looks gain, and 7 gain nothing more
DIM = _WAVES * _WAVES * _BINS
_SURE = 9.0  # log-odds of 0.9999
_HOG = cv2.HOGDescriptor((_SIDE, _SIDE), (2 * _CELL, 2 * _CELL), (_CELL, _CELL), (_CELL, _CELL), _BINS)


def cheap(crops: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Give what is known of crops without a look at them: (crops, NAMES), all finite, each a few units wide.

    Args:
        crops: By name, one value for each crop: *score* (0 to 1), *agreed*, *seen* (how many detectors saw it),
            *side* (of the window, pixels of the image), *share* (of the image that the window takes), *x* and *y*
            (middle of the face in the image, 0 to 1), *faces* (in that image), *sharpness*, *contrast*, *chroma*,
            *padded* and *turned* (as a `FaceCrop` states them). A number that is missing (NaN) counts as nothing.
    """

    def column(name: str, least: float, most: float) -> NDArray[np.float64]:
        values = np.nan_to_num(np.asarray(crops[name], np.float64), nan=0.0, posinf=most, neginf=least)
        return np.clip(values, least, most)

    score = column("score", 1e-9, 1 - 1e-9)
    columns = {
        "score": np.clip(np.log(score / (1 - score)), -_SURE, _SURE),
        "agreed": column("agreed", 0, 1),
        "seen": column("seen", 0, 8),
        "side": np.log2(column("side", 1, 1e5) / 256),
        "share": np.log2(column("share", 1e-6, 1)) / 2 + 2,  # about that of the sides
        "x": column("x", 0, 1) * 4 - 2,
        "y": column("y", 0, 1) * 4 - 2,
        "faces": np.log2(column("faces", 1, 1000)),
        "sharpness": np.log2(column("sharpness", 0, 1e6) + 1) - 8,
        "contrast": column("contrast", 0, 127) / 25 - 2,
        "chroma": column("chroma", 0, 180) / 15 - 1,
        "padded": column("padded", 0, 1) * 8,
        "turned": column("turned", -180, 180) / 30,
    }
    return np.stack([columns[name] for name in NAMES], axis=1).astype(np.float32)


def embed(pixels_HWC: Pixels) -> NDArray[np.float32]:
    """Say what a crop looks like: (DIM,), where its edges run, in long waves over the whole of it.

    The histograms of oriented gradients of Dalal and Triggs, Histograms of Oriented Gradients for Human Detection,
    CVPR 2005, of which for each direction only the lowest frequencies are kept (a discrete cosine transform over the
    blocks).

    Args:
        pixels_HWC: RGB, uint8, a square.
    """
    way = cv2.INTER_AREA if len(pixels_HWC) >= _SIDE else cv2.INTER_LINEAR
    small_HWC = cv2.resize(pixels_HWC, (_SIDE, _SIDE), interpolation=way)
    edges = np.asarray(_HOG.compute(cv2.cvtColor(small_HWC, cv2.COLOR_RGB2GRAY)), np.float32)
    # Column by column, as OpenCV gives them; the four cells of a block say much the same.
    blocks = edges.reshape(_BLOCKS, _BLOCKS, 4, _BINS).sum(axis=2)
    across = np.tensordot(_COSINES, blocks, axes=1)
    return np.asarray(np.tensordot(_COSINES, across, axes=([1], [1])), np.float32).ravel()


def _cosines() -> NDArray[np.float32]:
    """Give the first rows of an orthonormal discrete cosine transform (type II)."""
    wave, place = np.mgrid[0:_WAVES, 0:_BLOCKS]
    rows = np.cos(np.pi * (2 * place + 1) * wave / (2 * _BLOCKS)) * np.sqrt(2 / _BLOCKS)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, np.float32)


_COSINES = _cosines()

# --- kept on the disk -------------------------------------------------------------------------------------------------

_ROW = np.dtype([("key", np.uint8, 32), ("look", "<f2", DIM)])
_HEAD = f"kaoset look {EMBEDDING:04}".encode()  # 16 bytes
_LATE = 2048  # rows that are held in memory, until they are found on the disk as well


class Embeddings:
    """What crops look like, by their SHA-256, kept in a folder that may be removed.

    There is one file that only ever grows; a row that a kill tore is cut off by whoever opens it next. One process
    writes, the first to come; what others see they keep to themselves. It is not for several threads at once.

    Args:
        folder: Made where it is not there.

    Raises:
        StoreError: The folder cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "looks"
        self._late: dict[bytes, NDArray[np.float16]] = {}
        self._lock: int | None = None
        self._file: int | None = None  # where there is none, another process writes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "looks.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if _is_first(self._lock):
                self._file = self._opened()
            self._read()
        except OSError as error:
            self.close()
            raise _told(self._path, error) from error

    def close(self) -> None:
        """Let another process write; this one is not to be asked any more."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    def __len__(self) -> int:
        """Count the crops that are known."""
        return len(self._keys) + len(self._late)

    def get(self, sha256s: Sequence[str]) -> NDArray[np.float32]:
        """Give what crops look like, (crops, DIM); the row of one that is not known is all NaN."""
        names = bytes.fromhex("".join(sha256s))
        found = np.full((len(sha256s), DIM), np.nan, np.float32)
        there, rows = self._places(np.frombuffer(names, np.uint8).reshape(-1, 32))
        found[there] = self._rows["look"][rows]
        if self._late:
            missing = np.ones(len(sha256s), np.bool_)
            missing[there] = False
            for place in np.flatnonzero(missing).tolist():
                look = self._late.get(names[32 * place : 32 * place + 32])
                if look is not None:
                    found[place] = look
        return found

    def put(self, sha256: str, vector: NDArray[np.float32]) -> None:
        """Keep what a crop looks like.

        Raises:
            StoreError: The disk is full; it is known to this process all the same.
        """
        row = np.zeros(1, _ROW)
        key = bytes.fromhex(sha256)
        row["key"], row["look"] = np.frombuffer(key, np.uint8), vector
        self._late[key] = row["look"][0]
        if self._file is None:
            return
        try:
            _append(self._file, row.tobytes())
            if len(self._late) >= _LATE:
                self._read()
        except OSError as error:
            raise _told(self._path, error) from error

    def _opened(self) -> int:
        """Open the file to add to it, begun anew where it is of another version, and without a torn row."""
        if _count(self._path) is None:
            # Beside its place: others may have mapped what another version wrote.
            descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self._path.parent)
            os.write(descriptor, _HEAD)
            os.close(descriptor)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(self._path)
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(file, len(_HEAD) + (_count(self._path) or 0) * _ROW.itemsize)
        return file

    def _read(self) -> None:
        """Map what lies on the disk, and learn where each crop is."""
        count = _count(self._path) or 0
        self._rows: NDArray[Any] = np.empty(0, _ROW)
        if count:
            self._rows = np.memmap(self._path, _ROW, "r", len(_HEAD), (count,))
        firsts = _firsts(self._rows["key"])
        self._order = np.argsort(firsts, kind="stable")
        self._keys = firsts[self._order]
        written, _ = self._places(np.frombuffer(b"".join(self._late), np.uint8).reshape(-1, 32))
        names = list(self._late)
        for place in written.tolist():
            del self._late[names[place]]

    def _places(self, keys: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give which of *keys* are on the disk, and in which rows."""
        if not len(self._keys):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        rows = self._order[np.minimum(np.searchsorted(self._keys, _firsts(keys)), len(self._keys) - 1)]
        there = np.flatnonzero((self._rows["key"][rows] == keys).all(axis=1))
        return there, rows[there]


def _append(file: int, row: bytes) -> None:
    end = os.lseek(file, 0, os.SEEK_END)
    if os.write(file, row) < len(row):  # half a row would shift all that follow
        os.ftruncate(file, end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_first(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _firsts(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Give the first eight bytes of each key; two crops that share them would be a find in itself."""
    return np.asarray(np.ascontiguousarray(keys[:, :8]).view("<u8")[:, 0], np.uint64)


def _count(path: Path) -> int | None:
    """Say how many whole rows a file holds; None where there is none, or it is of another version."""
    try:
        with path.open("rb") as file:
            head, size = file.read(len(_HEAD)), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None
    return (size - len(_HEAD)) // _ROW.itemsize if head == _HEAD else None


def _told(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written ({error.strerror}); free some space, or choose another folder")
