"""What every index promises of one question, and of being fed.

Each function is a promise, and its name the sentence that a report shows.
"""

from __future__ import annotations

import numpy as np

from agentmem_stores.testing.exam import equal, holds
from agentmem_stores.testing.indexes import (
    CLOSE,
    DIMENSION,
    INDEX,
    KINDS,
    NEAREST,
    IndexRoom,
    enough,
    filled,
    nearest,
)

_QUESTIONS = 20
_MANY = 3_200  # an approximate index looks at a few positions one by one


# ── core ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@INDEX.promise("core")
def it_starts_empty_and_finds_nothing(room: IndexRoom) -> None:
    shelf = room.shelf()
    index, [vector] = shelf.index, room.unit(1)
    holds(isinstance(index.name, str) and index.name, "a name")
    equal((len(index), index.cursor, index.waiting), (0, 0, 0), "size, cursor and what waits")
    for among in (None, shelf.among([]), shelf.among([1, 5])):
        found = index.search(vector, 5, among)
        equal((len(found.positions), len(found.scores)), (0, 0), "what is found")
    equal(np.isnan(index.cosines(vector, np.array([1, 2]))).tolist(), [True, True], "cosines that are not there")
    equal(index.sync(), 0, "how many were put away")


@INDEX.promise("core")
def answers_are_cosines_best_first_and_as_many_as_there_are(room: IndexRoom) -> None:
    shelf = filled(room, settled=False)
    for settled in (False, True):
        if settled:
            shelf.settle()
        for k in (0, 1, 7, 60, 500):
            shelf.judge(room.unit(1)[0], k, what=f"k={k}, {'put away' if settled else 'just fed'}")


@INDEX.promise("core")
def cosines_come_in_the_order_asked_and_nan_where_there_is_no_vector(room: IndexRoom) -> None:
    shelf = filled(room, 30)
    shelf.erase(3, feed=False)
    shelf.erase(4, feed=False)
    shelf.add(room.unit(5))
    for settled in (False, True):
        if settled:
            shelf.settle()
        [vector] = room.unit(1)
        asked = np.array([1, 2, 3, 4, 20, 31, 32, 33, 99])
        positions, cosines = shelf.truth(vector)
        found = shelf.index.cosines(vector, asked)
        known = np.isin(asked, positions)
        equal((str(found.dtype), len(found)), ("float32", len(asked)), "type and length")
        equal(np.isnan(found).tolist(), (~known).tolist(), "where there is no vector")
        off = np.abs(found[known] - cosines[np.isin(positions, asked)])
        holds(off.max() <= CLOSE, f"cosines; they are off by {off.max():.6f}")
    equal(len(shelf.index.cosines(vector, np.empty(0, np.int64))), 0, "the cosines of none")


@INDEX.promise("core")
def its_length_and_cursor_say_what_it_was_fed(room: IndexRoom) -> None:
    shelf = room.shelf()
    shelf.add(room.unit(20))
    holds(len(shelf.index) > 0, "a length above 0, once something was fed")
    shelf.settle()
    equal((len(shelf.index), shelf.index.cursor, shelf.scoped.head()), (20, 20, 20), "length, cursor, head")
    shelf.forget(1, 2)
    equal(shelf.index.cursor, 22, "the cursor after two deletions")
    shelf.settle()
    equal(len(shelf.index), 18, "the length after two deletions")
    shelf.index.apply(np.empty(0, np.int64), np.empty((0, DIMENSION), np.float32), [], 99)
    equal(shelf.index.cursor, 99, "the cursor after being fed nothing")


@INDEX.promise("core")
def what_it_is_fed_and_what_it_gives_are_copies(room: IndexRoom) -> None:
    shelf = room.shelf()
    shelf.add(room.unit(5), feed=False)
    fed = shelf.scoped.vectors(shelf.embedder)
    matrix, positions = fed.matrix.copy(), fed.positions.copy()
    shelf.index.apply(positions, matrix, [], 5)
    matrix[:], positions[:] = 0, 7
    [vector] = room.unit(1)
    shelf.judge(vector, 5, what="after the matrix it was fed was overwritten")
    found = shelf.index.search(vector, 5)
    with_care = [array for array in (found.positions, found.scores) if array.flags.writeable]
    for array in with_care:
        array[:] = 99
    shelf.judge(vector, 5, what="after its last answer was overwritten")


@INDEX.promise("core")
def a_row_of_zeros_harms_nothing(room: IndexRoom) -> None:
    """What an embedder refused has such a row: it is near to nothing, and may be left out."""
    shelf = filled(room, 20)
    [silent] = shelf.add(np.zeros((1, DIMENSION), np.float32))
    for settled in (False, True):
        if settled:
            shelf.settle()
        [vector] = room.unit(1)
        found = shelf.index.search(vector, 30)
        holds(np.isfinite(found.scores).all(), "scores that are numbers")
        scores = dict(zip(found.positions.tolist(), found.scores.tolist(), strict=True))
        holds(scores.pop(silent, 0.0) == 0.0, "a row of zeros has cosine 0, or none")
        equal(sorted(scores), list(range(1, 21)), "the others")


@INDEX.promise("core")
def closing_twice_is_fine(room: IndexRoom) -> None:
    shelf = filled(room, 5)
    shelf.index.close()
    shelf.index.close()


# ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────


@INDEX.promise("filters")
def only_the_positions_that_are_allowed_are_answered(room: IndexRoom) -> None:
    shelf = filled(room)
    shelf.add(room.unit(20))
    for allowed in ([], [5], [99], [5, 99], range(40, 90), range(1, 81), room.random.choice(80, 30) + 1):
        for k in (3, 100):
            shelf.judge(room.unit(1)[0], k, shelf.among(list(allowed)), f"k={k} among {list(allowed)[:3]} …")
    [far] = -room.unit(1)
    worst = sorted(set(range(1, 81)) - set(nearest(shelf, far, 40)))
    equal(sorted(nearest(shelf, far, 40, shelf.among(worst))), worst, "the farthest half, when it alone is allowed")


@INDEX.promise("filters")
def kinds_and_times_narrow_as_the_positions_do(room: IndexRoom) -> None:
    shelf = filled(room)
    shelf.add(room.unit(30))
    for kinds, hours in (
        (["note"], (None, None)),
        (["turn", "fact"], (10, None)),
        (None, (None, 45)),
        (None, (20, 70)),
        (KINDS, (80, 200)),
        (["plan"], (None, None)),
        (None, (500, None)),
    ):
        allowed = shelf.where(kinds, hours)
        for k in (5, 100):
            shelf.judge(room.unit(1)[0], k, allowed, f"k={k}, kinds {kinds}, hours {hours}")
        # A speaker or a tag narrows further, which only the positions say.
        some = allowed._replace(positions=allowed.positions[::3], whole=False)
        shelf.judge(room.unit(1)[0], 20, some, f"a third of kinds {kinds}, hours {hours}")


# ── feeding ──────────────────────────────────────────────────────────────────────────────────────────────────────


@INDEX.promise("idempotence")
def being_fed_the_same_twice_alters_nothing(room: IndexRoom) -> None:
    shelf = room.shelf()
    shelf.add(room.unit(30), feed=False)
    shelf.feed(times=2)
    shelf.settle()
    equal((len(shelf.index), shelf.index.cursor), (30, 30), "length and cursor")
    shelf.replace(7, room.unit(1)[0], feed=False)
    shelf.forget(8, feed=False)
    shelf.erase(9, feed=False)
    shelf.feed(times=3)
    shelf.judge(room.unit(1)[0], 50, what="before sync")
    shelf.settle()
    shelf.judge(room.unit(1)[0], 50, what="after sync")
    equal(len(shelf.index), 28, "length")


@INDEX.promise("freshness")
def what_it_was_fed_is_found_by_the_next_search(room: IndexRoom) -> None:
    shelf = filled(room)
    for _ in range(3):
        [vector] = room.unit(1)
        [position] = shelf.add(vector[None])
        holds(position in nearest(shelf, vector, NEAREST), "a vector that was just added is near itself")
        shelf.replace(position, -vector)
        for settled in (False, True):
            if settled:
                shelf.settle()
            when = "once it was put away" if settled else "at once"
            holds(
                position in nearest(shelf, -vector, NEAREST), f"a vector that replaced another is near itself, {when}"
            )
            holds(position not in nearest(shelf, vector, NEAREST), f"the vector it replaced is not found, {when}")


@INDEX.promise("deletion")
def what_is_gone_is_not_found_any_more(room: IndexRoom) -> None:
    shelf = filled(room)
    vectors = dict(shelf.held)
    shelf.forget(10, 11, feed=False)
    shelf.erase(12)
    shelf.index.apply(np.empty(0, np.int64), np.empty((0, DIMENSION), np.float32), [777], shelf.index.cursor)
    for settled in (False, True):
        if settled:
            shelf.settle()
        for position in (10, 11, 12):
            shelf.judge(vectors[position], 60, what=f"near position {position}, which is gone")
        # Of what is in the trash, recall asks nothing; its vector is still in the ledger.
        shelf.judge(vectors[12], 60, shelf.among(range(12, 61)), "near position 12, which is erased")
        holds(np.isnan(shelf.index.cosines(vectors[12], np.array([12]))[0]), "no cosine of what is erased")
    shelf.restore(10)
    holds(10 in nearest(shelf, vectors[10], NEAREST), "what was brought back is found")
    shelf.settle()
    holds(10 in nearest(shelf, vectors[10], NEAREST), "what was brought back is found, once it was put away")
    shelf.judge(vectors[10], 60)


# ── nearness ─────────────────────────────────────────────────────────────────────────────────────────────────────


@INDEX.promise("exact")
def the_nearest_are_found_every_time(room: IndexRoom) -> None:
    shelf = filled(room, 400)
    for n in range(_QUESTIONS):
        among = shelf.among(room.random.choice(400, int(room.random.integers(1, 400))) + 1) if n % 2 else None
        wanted = min(NEAREST, len(shelf.positions(among)))
        equal(shelf.judge(room.unit(1)[0], NEAREST, among), wanted, "how many of the nearest ten were found")


@INDEX.promise("exact")
def ties_fall_to_the_earliest_however_many_there_are(room: IndexRoom) -> None:
    shelf = room.shelf()
    corner = np.full(DIMENSION, DIMENSION**-0.5, np.float32)  # its products are exact in whatever order they are summed
    shelf.add(np.tile(corner, (200, 1)))
    shelf.settle()
    equal(nearest(shelf, corner, 7), [1, 2, 3, 4, 5, 6, 7], "of 200 alike, the nearest seven")
    equal(nearest(shelf, corner, 3, shelf.among(range(90, 150))), [90, 91, 92], "of sixty alike, the nearest three")


@INDEX.promise("approximate")
def of_the_nearest_ten_the_stated_share_is_found(room: IndexRoom) -> None:
    shelf = room.shelf()
    centres = room.unit(50)
    rows = centres[room.random.integers(50, size=_MANY)] + 0.4 * room.unit(_MANY)
    shelf.add((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    shelf.settle()
    half = room.random.choice(_MANY, _MANY // 2) + 1
    for what, among in (
        ("of all", None),
        ("of one kind", shelf.where(["note"])),
        ("of two kinds", shelf.where(["note", "fact"])),
        ("among a random half", shelf.among(half)),
        ("among a few", shelf.among(half[:99])),
    ):
        asked = shelf.random.choice(shelf.positions(), _QUESTIONS)
        enough(shelf, [shelf.judge(shelf.held[int(p)], NEAREST, among, what) for p in asked], what)
