"""Calls of language models, as rows: noted before they are made, so that a budget holds whoever asks beside, and put
right when they end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, insert, or_, select, true, update

from agentmem.errors import BudgetReached
from agentmem.models.calls import Call, Limit, Outcome, Spent, Usage, money
from agentmem.records import Scope
from agentmem.values import storable
from agentmem_stores.sql.schema import calls, from_micros, scopes, to_micros

if TYPE_CHECKING:
    from agentmem_stores.sql.ledger import SqlLedger

__all__ = ["SqlCalls"]

_LOCK = "calls"  # budgets reach over roots, so their lock is one
_LONGEST_ERROR = 500


class SqlCalls:
    """The calls of one scope."""

    def __init__(self, ledger: SqlLedger, scope: Scope) -> None:
        self._ledger = ledger
        self._scope = scope
        self._writer = ledger.jobs_writer

    @property
    def home(self) -> str:
        return f"{self._ledger.identity} {self._scope}"

    def begin(self, call: Call, limits: Sequence[Limit] = ()) -> None:
        scope_id = self._ledger.made(self._scope)

        def run(connection: Connection) -> None:
            for limit in limits:
                spent = _spent(connection, limit)
                for name, most, asked, so_far in (
                    ("tokens", limit.tokens, call.tokens, spent.tokens),
                    ("money", limit.picos, call.picos, spent.picos),
                ):
                    if most is not None and asked + so_far > most:
                        raise _reached(name, limit, most, asked, so_far)
            connection.execute(insert(calls).values(id=call.id, scope_id=scope_id, **_row(call)))

        self._writer.run(run, _LOCK if limits else None)

    def end(self, call: Call) -> None:
        statement = update(calls).where(calls.c.id == call.id, self._mine()).values(**_row(call))
        self._writer.run(lambda connection: connection.execute(statement))

    def spent(self, limit: Limit) -> Spent:
        with self._ledger.reading() as connection:
            return _spent(connection, limit)

    def listed(self, limit: int = 100, *, since: datetime | None = None) -> list[Call]:
        with self._ledger.reading() as connection:
            query = select(calls).where(self._mine(), _since(since))
            rows = connection.execute(query.order_by(calls.c.at.desc(), calls.c.id.desc()).limit(limit))
            return [_call(row) for row in rows]

    def usage(self, *, since: datetime | None = None, inside: bool = False) -> list[Usage]:
        answered = calls.c.outcome == "done"
        query = (
            select(
                calls.c.role,
                calls.c.model,
                func.count().label("calls"),
                func.sum(case((calls.c.outcome.in_(("failed", "refused")), 1), else_=0)).label("failed"),
                func.sum(calls.c.tokens_in).label("tokens_in"),
                func.sum(calls.c.tokens_out).label("tokens_out"),
                func.sum(calls.c.picos).label("picos"),
                func.avg(case((answered, calls.c.ms))).label("ms"),
            )
            .where(self._mine(inside), _since(since))
            .group_by(calls.c.role, calls.c.model)
        )
        with self._ledger.reading() as connection:
            rows = connection.execute(query).all()
        found = [
            Usage(
                row.role,
                row.model,
                row.calls,
                int(row.failed),
                int(row.tokens_in),
                int(row.tokens_out),
                int(row.picos),
                float(row.ms or 0.0),
            )
            for row in rows
        ]
        return sorted(found, key=lambda one: (-one.picos, -one.tokens_in - one.tokens_out, one.role, one.model))

    def _mine(self, inside: bool = False) -> ColumnElement[bool]:
        return calls.c.scope_id.in_(_under(self._scope, inside))


def _under(scope: Scope, inside: bool = True) -> Select[tuple[int]]:
    path = str(scope)
    here = scopes.c.path == path
    # A prefix without LIKE, whose case-folding differs between databases and which wants escapes.
    below = func.substr(scopes.c.path, 1, len(path) + 1) == f"{path}/"
    return select(scopes.c.id).where(or_(here, below) if inside else here)


def _since(since: datetime | None) -> ColumnElement[bool]:
    return true() if since is None else calls.c.at >= to_micros(since)


def _spent(connection: Connection, limit: Limit) -> Spent:
    whose = true() if limit.scope is None else calls.c.scope_id.in_(_under(limit.scope))
    total = select(
        func.count(),
        func.coalesce(func.sum(calls.c.tokens_in + calls.c.tokens_out), 0),
        func.coalesce(func.sum(calls.c.picos), 0),
    ).where(and_(whose, _since(limit.since)))
    number, tokens, picos = connection.execute(total).one()
    return Spent(int(number), int(tokens), int(picos))


def _reached(name: str, limit: Limit, most: int, asked: int, so_far: int) -> BudgetReached:
    def shown(n: int) -> str:
        return f"{n:,} tokens" if name == "tokens" else f"{money(n):.6g}"

    where = "this memory" if limit.scope is None else str(limit.scope)
    return BudgetReached(
        f"asking would take about {shown(asked)}, and {shown(so_far)} of the {shown(most)} that {where} may spend "
        f"since {limit.since:%Y-%m-%d %H:%M} UTC are spent",
        way_out="Raise the budget under [models.budgets], or wait for the next day. Nothing was sent.",
    )


def _row(call: Call) -> dict[str, Any]:
    return {
        "at": to_micros(call.at),
        "role": call.role,
        "model": call.model,
        "cause": call.cause,
        "prompt": call.prompt,
        "outcome": call.outcome,
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "picos": call.picos,
        "ms": call.ms,
        "error": storable(call.error)[:_LONGEST_ERROR],
    }


def _call(row: Row[Any]) -> Call:
    return Call(
        id=row.id,
        at=from_micros(row.at),
        role=row.role,
        model=row.model,
        cause=row.cause,
        prompt=row.prompt,
        outcome=cast(Outcome, row.outcome),
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        picos=row.picos,
        ms=row.ms,
        error=row.error,
    )
