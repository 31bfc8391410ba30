"""Strength and recency decide between memories that fit a question alike, and hide none."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.recall.presets import DEFAULT, TRAINING_FREE
from agentmem.recall.weights import PRIOR

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ENGINES = (DEFAULT, TRAINING_FREE)
BOUND = PRIOR.own


@pytest.mark.parametrize("engine", ENGINES)
def test_of_two_alike_the_stronger_stands_first(tmp_path: Path, engine: str) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        weak, usual, strong = memory.add_many(
            [{"text": "the kettle is blue", "at": NOON, "strength": strength} for strength in (0.2, 1.0, 5.0)]
        )
        hits = memory.recall("is the kettle blue?", engine=engine)
        assert [hit.record.id for hit in hits] == [strong.id, usual.id, weak.id]
        memory.edit(weak.id, strength=50.0)
        assert memory.recall("is the kettle blue?", 1, engine=engine)[0].record.id == weak.id
    with Memory.open(tmp_path / "m", embedder="hash") as memory:  # what is kept of a scope keeps it, too
        assert memory.recall("is the kettle blue?", 1, engine=engine)[0].record.id == weak.id
        memory.undo()
        assert memory.recall("is the kettle blue?", 1, engine=engine)[0].record.id == strong.id


@pytest.mark.parametrize("engine", ENGINES)
def test_of_two_alike_the_later_stands_first(tmp_path: Path, engine: str) -> None:
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        days = random.Random(5).sample(range(1, 2000), 12)
        memory.add_many([{"text": "the kettle is blue", "at": NOON - timedelta(days=day)} for day in days])
        hits = memory.recall("what of the kettle?", 20, engine=engine)
        # Their dates are part of the words and the vectors; the prior is what is looked at.
        parts = [(hit.record.at, hit.parts["prior"]) for hit in hits]
        assert [at for at, _ in sorted(parts, key=lambda one: one[1])] == sorted(at for at, _ in parts)


@given(
    strengths=st.lists(st.floats(0, 1e300), min_size=3, max_size=12),
    years=st.lists(st.integers(0, 900), min_size=12, max_size=12),
)
def test_it_is_bounded_and_hides_nothing(
    strengths: list[float], years: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Memory.open(tmp_path_factory.mktemp("p") / "m", embedder="hash") as memory:
        for n, strength in enumerate(strengths):
            at = NOON - timedelta(days=365 * years[n])
            memory.add_many([{"text": f"parcel {n} went to harbour {n + 40}", "at": at, "strength": strength}])
        faint = {"text": "the violin was left on the night train", "at": datetime(1, 1, 1, tzinfo=UTC), "strength": 0.0}
        [old] = memory.add_many([faint])
        for engine in ENGINES:
            hits = memory.recall("where was the violin left?", 50, engine=engine)
            assert hits[0].record.id == old.id, "the best match, be it the weakest and the oldest"
            assert len(hits) == len(strengths) + 1
            assert all(-BOUND / 2 <= hit.parts["prior"] <= BOUND for hit in hits)
