"""What indexes promise over time: putting away, being emptied, being opened again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

from agentmem_stores.testing.exam import equal, holds
from agentmem_stores.testing.indexes import INDEX, NEAREST, IndexRoom, Shelf, enough, filled, nearest

_FEW = 5
_MANY = 3_200  # several batches
_REPLACED = 10


# ── putting away, and emptying ───────────────────────────────────────────────────────────────────────────────────


@INDEX.promise("sync")
def putting_away_changes_no_answer_says_how_far_it_is_and_can_be_stopped(room: IndexRoom) -> None:
    shelf = filled(room, 100, settled=False)
    waiting, cursor = shelf.index.waiting, shelf.index.cursor
    equal(shelf.index.sync(stop=lambda: True), 0, "how many were put away when it was stopped at once")
    equal((shelf.index.waiting, shelf.index.cursor), (waiting, cursor), "what waits, and the cursor, when stopped")
    steps: list[tuple[int, int]] = []
    equal(shelf.index.sync(lambda done, total: steps.append((done, total))), waiting, "how many were put away")
    equal(shelf.index.waiting, 0, "what waits then")
    equal(steps, sorted(steps), "the progress it told, ascending")
    equal(steps[-1:], [(waiting, waiting)] if waiting else steps[-1:], "the last progress it told")
    _nearly_all(shelf, "once all was put away")
    equal((shelf.index.sync(), shelf.index.cursor), (0, cursor), "a second sync, and the cursor")


@INDEX.promise("sync")
def a_sync_that_is_stopped_half_way_loses_nothing(room: IndexRoom) -> None:
    shelf = room.shelf()
    shelf.add(room.unit(_MANY))
    asked = iter([False])
    shelf.index.sync(stop=lambda: next(asked, True))
    _nearly_all(shelf, "after a sync that was stopped")
    if "persistence" in room.subject.claims:
        shelf.reopen()
        shelf.feed()
        _nearly_all(shelf, "after opening again")
    shelf.settle()
    _nearly_all(shelf, "once all was put away")


@INDEX.promise("sync")
def it_may_be_searched_and_fed_while_it_puts_away(room: IndexRoom) -> None:
    shelf = room.shelf()
    shelf.add(room.unit(_MANY))
    found: list[int] = []
    replaced: set[int] = set()
    with ThreadPoolExecutor(1) as pool:
        for part in range(1, 4):
            putting_away = pool.submit(shelf.index.sync)
            for n in count():
                if len(replaced) < part * _REPLACED:
                    at = int(room.random.choice(shelf.positions()))
                    shelf.replace(at, room.unit(1)[0])
                    replaced.add(at)
                found.append(shelf.judge(room.unit(1)[0], NEAREST, what="beside a sync"))
                if n >= _FEW and putting_away.done():
                    break
            putting_away.result()
    enough(shelf, found, "beside a sync")
    shelf.settle()
    enough(shelf, [shelf.judge(shelf.held[at], NEAREST, what="after all") for at in replaced], "after all")
    lost = [at for at in replaced if at not in nearest(shelf, shelf.held[at], NEAREST)]
    holds(
        len(lost) <= (1 - room.least) * len(replaced), f"what it was fed beside a sync is near itself; {lost} are not"
    )


@INDEX.promise("clear")
def once_emptied_it_holds_nothing_and_can_be_fed_again(room: IndexRoom) -> None:
    shelf = filled(room)
    shelf.add(room.unit(5))
    shelf.index.clear()
    equal((len(shelf.index), shelf.index.cursor, shelf.index.waiting), (0, 0, 0), "length, cursor, what waits")
    [vector] = room.unit(1)
    equal(nearest(shelf, vector, 5), [], "what is found")
    shelf.feed()
    equal(shelf.index.cursor, 65, "the cursor, once fed again")
    shelf.judge(vector, 20)
    shelf.settle()
    shelf.judge(vector, 20)
    equal(len(shelf.index), 65, "length")


def _nearly_all(shelf: Shelf, when: str) -> None:
    enough(shelf, [shelf.judge(shelf.room.unit(1)[0], NEAREST, what=when) for _ in range(_FEW)], when)


# ── opening again ────────────────────────────────────────────────────────────────────────────────────────────────


@INDEX.promise("persistence")
def vectors_and_cursor_are_there_at_the_next_opening(room: IndexRoom) -> None:
    shelf = filled(room)
    shelf.forget(5)
    shelf.replace(6, room.unit(1)[0])
    shelf.settle()
    shelf.reopen()
    equal((len(shelf.index), shelf.index.cursor, shelf.index.waiting), (59, 62, 0), "length, cursor, what waits")
    _nearly_all(shelf, "after opening again")
    shelf.judge(room.unit(1)[0], 60, what="all, after opening again")


@INDEX.promise("persistence")
def its_cursor_never_runs_ahead_of_what_it_kept(room: IndexRoom) -> None:
    shelf = filled(room)
    for _ in range(3):
        shelf.add(room.unit(5))
        shelf.forget(int(room.random.choice(shelf.positions())))
        shelf.reopen()
        holds(shelf.index.cursor <= shelf.scoped.head(), "a cursor within the journal")
        shelf.feed()
        for _ in range(3):
            shelf.judge(room.unit(1)[0], 80, what="after opening again with some that waited")


@INDEX.promise("persistence")
def opened_anew_or_for_another_embedder_it_starts_empty(room: IndexRoom) -> None:
    shelf = filled(room)
    other = room.shelf(embedder="exam-16-v2")
    equal((len(other.index), other.index.cursor), (0, 0), "length and cursor, for another embedder")
    shelf.reopen(anew=True)
    equal((len(shelf.index), shelf.index.cursor), (0, 0), "length and cursor, opened anew")
    shelf.feed()
    shelf.settle()
    shelf.reopen()
    equal((len(shelf.index), shelf.index.cursor), (60, 60), "length and cursor, fed and opened again")
    shelf.index.clear()
    shelf.reopen()
    equal((len(shelf.index), shelf.index.cursor), (0, 0), "length and cursor, emptied and opened again")
