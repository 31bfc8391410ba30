"""Does the journal tell the same story as the rows? What `agentmem doctor` asks, and every kill test."""

from __future__ import annotations

from typing import Any

from agentmem.ledger import Reader
from agentmem.records import Record

_BATCH = 5_000


def disagreements(reader: Reader) -> list[str]:
    """Replay the journal from its first entry and hold every record against the result; sentences, [] when equal."""
    told: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    after = 0
    while changes := reader.changes(after=after, limit=_BATCH):
        after = changes[-1].seq
        for change in changes:
            id = change.record_id
            if change.after is None:  # erased entries too
                told.pop(id, None)
            elif change.before is None:
                told[id] = dict(change.after)
            elif id in told:
                told[id].update(change.after)
            else:
                wrong.append(f"change {change.seq} alters record {id}, which the journal does not know")
    if after > reader.head():
        wrong.append(f"the journal reaches {after}, its counter stands at {reader.head()}")
    position = 0
    while batch := reader.scan(after=position, limit=_BATCH, states=("live", "forgotten", "replaced")):
        position = batch[-1].position
        for record in batch:
            body = told.pop(record.id, None)
            if body is None:
                wrong.append(f"record {record.id} is not in the journal")
            elif Record.from_json(body) != record:
                wrong.append(f"record {record.id} is not what its journal says")
    wrong += [f"the journal tells of record {id}, which is missing" for id in told]
    return wrong
