"""Conformance exams: any ledger, index, store or embedder, ours or a stranger's, sits one and gets a report.

    from agentmem_stores.testing import LedgerSubject, examine

    report = examine(LedgerSubject("mine", open_my_ledger, claims=["durability"]))
    print(report)
    assert report.ok

No test framework is needed. With pytest, each promise can be a test of its own:

    @pytest.mark.parametrize("promise", promises(SUBJECT), ids=str)
    def test_my_ledger(promise):
        promise.check(SUBJECT)

`python -m agentmem_stores.testing` examines what is shipped, or what is named.
"""

from typing import Any

from agentmem_stores.testing import (  # noqa: F401  # which enter their promises
    index_lasting,
    index_promises,
    index_scopes,
    index_walks,
    ledger_lasting,
    ledger_promises,
    ledger_scopes,
    ledger_segments,
    ledger_walks,
    store_promises,
)
from agentmem_stores.testing.embedders import EmbedderSubject
from agentmem_stores.testing.exam import Outcome, Promise, Report, Subject, examine
from agentmem_stores.testing.indexes import IndexSubject
from agentmem_stores.testing.ledgers import LedgerSubject
from agentmem_stores.testing.stores import StoreSubject

__all__ = [
    "EmbedderSubject",
    "IndexSubject",
    "LedgerSubject",
    "Outcome",
    "Promise",
    "Report",
    "StoreSubject",
    "Subject",
    "examine",
    "promises",
]


def promises(subject: Subject[Any]) -> list[Promise[Any]]:
    """What the subject claims to keep, in the order of the exam."""
    return [promise for promise in subject.exam.promises if promise.capability in subject.claims]
