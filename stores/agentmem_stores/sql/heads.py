"""The head of a root: the seq of its newest change, by which the next is numbered.

Its row in `roots` counts it once there are two scopes under the root; with one, that scope's journal tells. Both are
asked under the lock that writers to the root hold.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, BindParameter, bindparam, case, func, literal_column, select, update

from agentmem_stores.sql.schema import LAST_NUMBER, UNCOUNTED, journal, key_of, roots

__all__ = ["ADVANCE", "COUNT", "HEAD", "whole"]

# The statements of an add are compiled once, with no value bound but by name: hence the literals.
_IS_UNCOUNTED = roots.c.head == literal_column(str(UNCOUNTED))
_LOW: BindParameter[int] = bindparam("low", type_=BigInteger)
_NEWEST = select(func.coalesce(func.max(journal.c.key) - _LOW, literal_column("0"))).where(
    journal.c.key.between(_LOW, bindparam("high", type_=BigInteger))
)


def whole(scope_id: int, root_id: int) -> dict[str, int]:
    """What the statements below ask of a scope and its root."""
    return {"low": key_of(scope_id, 0), "high": key_of(scope_id, LAST_NUMBER), "root": root_id}


# The head of a root, and its counter.
HEAD = select(case((_IS_UNCOUNTED, _NEWEST.scalar_subquery()), else_=roots.c.head), roots.c.head).where(
    roots.c.id == bindparam("root")
)
ADVANCE = (
    update(roots)
    .where(roots.c.id == bindparam("root"), ~_IS_UNCOUNTED)
    .values(head=roots.c.head + bindparam("by"))
    .returning(roots.c.head)
)
# From now on the root's changes are counted.
COUNT = update(roots).where(roots.c.id == bindparam("root"), _IS_UNCOUNTED).values(head=_NEWEST.scalar_subquery())
