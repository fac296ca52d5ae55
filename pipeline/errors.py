"""Every error that kaoset raises on purpose, so that a caller can tell a wrong order from a broken world.

    KaosetError
    ├── UsageError         the person asked for something that cannot be: exit code 2
    │   ├── RecipeError    a recipe does not say what it must
    │   └── ConflictError  something else has come first
    ├── WorldError         the machine or the network cannot do it now: exit code 1
    │   ├── StoreError     the data folder cannot be read or written
    │   ├── CatalogError   the catalog cannot be opened, is locked, or contradicts itself
    │   ├── BoardError     a board cannot be reached or does not speak its dialect
    │   │   └── IncompleteError   it was read to its end, but for some of its pages
    │   └── DetectorError  a detector is missing or blind
    ├── StoppedError       a person stopped what does not go on from there: exit code 130
    └── InvariantError     a stage lost or invented an item: a bug, never data

Bad *data* is no error: it is a ``Dropped`` with a ``Reason`` (pipeline.stage).
A message holds the value, what is wrong with it, and what to do.
"""


class KaosetError(Exception):
    """Anything that a person is told in one line."""

    exit_code = 1


class UsageError(KaosetError):
    """The person asked for something that cannot be."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe, or one of its fields, is wrong."""


class ConflictError(UsageError):
    """It was overtaken by something else, so that asking again the same would not help."""


class WorldError(KaosetError):
    """The machine or the network cannot do it now; trying again later may help."""


class StoreError(WorldError):
    """The data folder cannot be read or written."""


class CatalogError(WorldError):
    """The catalog cannot be opened, is locked, or contradicts itself."""


class BoardError(WorldError):
    """A board cannot be reached, refuses us, or does not speak its dialect."""


class IncompleteError(BoardError):
    """A board was read to its end, but for some pages that did not come."""


class DetectorError(WorldError):
    """A face detector is missing, or blind."""


class StoppedError(KaosetError):
    """A person stopped what does not go on from there."""

    exit_code = 130


class InvariantError(KaosetError):
    """A stage lost or invented an item."""
