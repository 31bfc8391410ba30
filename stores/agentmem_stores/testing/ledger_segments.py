"""What ledgers promise about segments: pieces of a projection that are kept, so that nobody need make them again."""

from __future__ import annotations

from agentmem import verbs
from agentmem.ledger import ScopedLedger, Segment
from agentmem_stores.testing.exam import equal
from agentmem_stores.testing.ledgers import LEDGERS, LedgerRoom, added, write

_LONG = bytes(range(256)) * (40 << 12)  # 40 MiB: more than a row or a packet may hold


def keep(scoped: ScopedLedger, until: int, data: bytes, standing: list[int], kept: int, name: str = "exam") -> bool:
    segment = Segment(until, data)
    return scoped.transact(lambda t: t.put_segment(name, segment, standing=standing, kept=kept))


@LEDGERS.promise("segments")
def a_segment_stands_behind_those_kept_and_in_place_of_the_others(room: LedgerRoom) -> None:
    ana = room.ana
    for n in range(4):
        added(ana, str(n))
    equal(ana.segments("exam"), [], "before any was kept")
    equal(keep(ana, 1, b"one", [], 0), True, "the first")
    equal(keep(ana, 2, b"", [1], 1), True, "one behind it, which is empty")
    equal(keep(ana, 3, b"\x00three\xff", [1, 2], 2), True, "a third")
    equal(ana.segments("exam"), [(1, b"one"), (2, b""), (3, b"\x00three\xff")], "all three")
    equal(keep(ana, 4, b"four", [1, 2, 3], 1), True, "one in place of the last two")
    equal(keep(ana, 4, b"another's", [], 0, "other"), True, "another projection's")
    equal(ana.segments("exam"), [(1, b"one"), (4, b"four")], "the first and the new one")
    equal(keep(ana, 4, b"all", [1, 4], 0), True, "one in place of all, up to the same change")
    equal((ana.segments("exam"), ana.segments("other")), ([(4, b"all")], [(4, b"another's")]), "one of each")
    equal(room.notes.segments("exam"), [], "in another scope of the same root")


@LEDGERS.promise("segments")
def a_segment_is_refused_where_others_stand_than_believed(room: LedgerRoom) -> None:
    ana = room.ana
    for n in range(3):
        added(ana, str(n))
    keep(ana, 1, b"one", [], 0)
    for standing in ([], [2], [1, 2]):
        equal(keep(ana, 3, b"late", standing, 0), False, f"with {standing} believed to stand, where [1] does")
    equal(ana.segments("exam"), [(1, b"one")], "what stands")


@LEDGERS.promise("segments")
def an_erasure_takes_all_segments_and_none_from_before_it_comes_back(room: LedgerRoom) -> None:
    ana, notes = room.ana, room.notes
    kept, gone = added(ana, "kept"), added(ana, "gone")
    mine = added(notes, "next door")
    keep(ana, gone.position, b"gone", [], 0)
    keep(ana, gone.position, b"gone", [], 0, "other")
    keep(notes, mine.position, b"next door", [], 0)
    ana.transact(lambda t: t.erase([gone.id], actor="ana"))
    ana.reclaim()
    equal([ana.segments("exam"), ana.segments("other")], [[], []], "after the erasure")
    equal(notes.segments("exam"), [(mine.position, b"next door")], "in another scope of the same root")
    equal(keep(ana, gone.position, b"gone", [], 0), False, "one from before it")
    write(ana, verbs.alter("edit", kept, text="edited"))
    equal(keep(ana, ana.head(), b"kept", [], 0), True, "one from after it")


@LEDGERS.promise("segments")
def a_large_segment_comes_back_whole(room: LedgerRoom) -> None:
    ana = room.ana
    added(ana, "one"), added(ana, "two")
    keep(ana, 1, _LONG, [], 0)
    keep(ana, 2, b"short", [1], 1)
    [long, short] = ana.segments("exam")
    equal((len(long.data), long.data == _LONG, short), (len(_LONG), True, (2, b"short")), "both")
    keep(ana, 2, b"all", [1, 2], 0)
    equal(ana.segments("exam"), [(2, b"all")], "one in place of both")
