"""From what a caller hands to `add` and `add_many` to checked records and vectors. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from agentmem.embedding import Embedder, unit_rows
from agentmem.errors import InvalidInput
from agentmem.records import Record, Scope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Intake", "Item"]

Item: TypeAlias = "str | Mapping[str, Any] | Record"


@dataclass(slots=True)
class Intake:
    """Records on their way in. `fresh` are ids made here, which nothing can bear yet; `vectors` are of length 1."""

    records: list[Record] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def of(cls, items: Iterable[Item], scope: Scope, embedder: Embedder) -> Intake:
        """Reads all items. InvalidInput names the first bad one by its number, counted from 1."""
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
            raise InvalidInput(
                f"the items must be a list, not one {type(items).__name__}", way_out="For a single one, use add."
            )
        taken = cls()
        given: dict[str, Sequence[float]] = {}
        for number, item in enumerate(items, 1):
            try:
                record, fresh, vector = _read(item, scope)
            except InvalidInput as error:
                raise InvalidInput(f"item {number}: {error}", way_out=error.way_out) from error
            taken.records.append(record)
            if fresh:
                taken.fresh.add(record.id)
            if vector is not None:
                given[record.id] = _compact(vector)
        taken.vectors = unit_vectors(given, embedder)
        return taken

    @classmethod
    def single(
        cls, text: str, fields: Mapping[str, Any], vector: Sequence[float] | None, scope: Scope, embedder: Embedder
    ) -> Intake:
        record = Record.create(text, scope=scope, **fields)
        return cls([record], {record.id}, {} if vector is None else unit_vectors({record.id: vector}, embedder))


def _read(item: Item, scope: Scope) -> tuple[Record, bool, Sequence[float] | None]:
    if isinstance(item, Record):
        return item.admitted(scope), False, None
    if isinstance(item, str):
        return Record.create(item, scope=scope), True, None
    if not isinstance(item, Mapping):
        raise InvalidInput(f"cannot remember a {type(item).__name__}", way_out="Give a text, a mapping or a Record.")
    given = dict(item)
    vector, id = given.pop("vector", None), given.pop("id", None)
    if given.get("at", ...) is None:  # as in add(at=None): now
        del given["at"]
    if "text" not in given:
        raise InvalidInput("the mapping has no text")
    try:
        return Record.create(given.pop("text"), scope=scope, id=id, **given), id is None, vector
    except TypeError as error:
        raise InvalidInput(str(error)) from error


def _compact(vector: Any) -> Any:
    """A row of numbers in 4 bytes each, so that many lists of floats need not be held; others as they are."""
    import numpy as np

    try:
        row = np.asarray(vector, np.float64)
        return row.astype(np.float32) if np.abs(row).max(initial=0) < np.finfo(np.float32).max else row
    except (TypeError, ValueError, OverflowError):
        return vector  # refused with all others in `unit_vectors`


def unit_vectors(given: Mapping[str, Sequence[float]], embedder: Embedder) -> dict[str, NDArray[np.float32]]:
    """The vectors scaled to length 1, or InvalidInput when one does not fit the embedder."""
    if not given:
        return {}
    import numpy as np

    try:
        matrix = np.array([np.asarray(vector, np.float64) for vector in given.values()])
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"a vector is not a row of numbers: {error}") from error
    if matrix.shape != (len(given), embedder.dimension) or not np.isfinite(matrix).all():
        raise InvalidInput(
            f"a vector must be {embedder.dimension} finite numbers, as {embedder.id} makes them",
            way_out="Open the memory with the embedder that made the vectors.",
        )
    peaks = np.abs(matrix).max(axis=1, keepdims=True)  # first to a size whose squares neither overflow nor vanish
    scaled = (matrix / np.where(peaks > 0, peaks, 1)).astype(np.float32)
    return dict(zip(given, unit_rows(scaled), strict=True))
