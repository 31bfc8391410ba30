"""The store exam: every store that is shipped keeps what it claims, and what is broken fails where it should."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem_stores.testing import Promise, StoreSubject, examine, promises
from agentmem_stores.testing.shipped import STORES
from tests import mutant_stores


@pytest.mark.parametrize(
    ("subject", "promise"),
    [pytest.param(one, promise, id=f"{one.name}-{promise}") for one in STORES for promise in promises(one)],
)
def test_what_is_shipped_keeps_every_promise(subject: StoreSubject, promise: Promise[Any]) -> None:
    promise.check(subject)


def promise_of(subject: StoreSubject, name: str) -> Promise[Any]:
    [promise] = [promise for promise in promises(subject) if promise.name == name]
    return promise


@pytest.mark.parametrize(
    ("subject", "named"), [pytest.param(one, name, id=one.name) for one, name in mutant_stores.BROKEN.items()]
)
def test_what_is_broken_fails_at_the_promise_it_breaks(subject: StoreSubject, named: str) -> None:
    with pytest.raises(AssertionError) as caught:
        promise_of(subject, named).check(subject)
    assert len(str(caught.value)) > 20, "a message that says what was seen"


def test_what_they_were_made_from_keeps_every_promise() -> None:
    report = examine(mutant_stores.SOUND)
    assert report.ok, str(report)
    assert {promise.name for promise in promises(mutant_stores.SOUND)} == set(mutant_stores.BROKEN.values())
