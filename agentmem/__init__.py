"""agentmem: a memory for agents that is a plain file you own.

    from agentmem import Memory

    with Memory.open("notes.mem") as memory:
        memory.add("We moved the launch to 3 May.", speaker="Ana")
        print(memory.recall("when is the launch?")[0].record.text)

Names are resolved on first use (PEP 562): importing the package loads neither numpy nor SQLAlchemy, which together
cost about 300 ms of CPU, and never torch, chromadb, textual or a model client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentmem.aio import AsyncMemory
    from agentmem.config import Settings
    from agentmem.cues import Context, Cue, Hit
    from agentmem.embedding import Embedder
    from agentmem.errors import (
        AgentMemError,
        BadOutput,
        BudgetReached,
        ConfigError,
        Conflict,
        EmbeddingError,
        ImportFailed,
        IndexUnavailable,
        InvalidInput,
        LedgerError,
        MemoryClosed,
        ModelError,
        NoModel,
        PluginError,
        RecordNotFound,
        UndoBlocked,
    )
    from agentmem.feedback import Feedback
    from agentmem.index import Among, Index, Matches, Site
    from agentmem.ledger import Ledger, ScopedLedger
    from agentmem.memory import Memory
    from agentmem.recall.order import Located
    from agentmem.records import Change, Place, Record, Scope, Source
    from agentmem.stats import Stats
    from agentmem.store import Held, Host, Models, Report, Store

_HOMES = {
    "aio": ("AsyncMemory",),
    "config": ("Settings",),
    "embedding": ("Embedder",),
    "errors": (
        "AgentMemError",
        "BadOutput",
        "BudgetReached",
        "ConfigError",
        "Conflict",
        "EmbeddingError",
        "ImportFailed",
        "IndexUnavailable",
        "InvalidInput",
        "LedgerError",
        "MemoryClosed",
        "ModelError",
        "NoModel",
        "PluginError",
        "RecordNotFound",
        "UndoBlocked",
    ),
    "index": ("Among", "Index", "Matches", "Site"),
    "ledger": ("Ledger", "ScopedLedger"),
    "memory": ("Memory",),
    "records": ("Change", "Place", "Record", "Scope", "Source"),
    "cues": ("Context", "Cue", "Hit"),
    "feedback": ("Feedback",),
    "recall.order": ("Located",),
    "stats": ("Stats",),
    "store": ("Held", "Host", "Models", "Report", "Store"),
}
_HOME_OF = {name: home for home, listed in _HOMES.items() for name in listed}

__version__ = "0.1.0"
__all__ = [
    "AgentMemError",
    "Among",
    "AsyncMemory",
    "BadOutput",
    "BudgetReached",
    "Change",
    "ConfigError",
    "Conflict",
    "Context",
    "Cue",
    "Embedder",
    "EmbeddingError",
    "Feedback",
    "Held",
    "Hit",
    "Host",
    "ImportFailed",
    "Index",
    "IndexUnavailable",
    "InvalidInput",
    "Ledger",
    "LedgerError",
    "Located",
    "Matches",
    "Memory",
    "MemoryClosed",
    "ModelError",
    "Models",
    "NoModel",
    "Place",
    "PluginError",
    "Record",
    "RecordNotFound",
    "Report",
    "Scope",
    "ScopedLedger",
    "Settings",
    "Site",
    "Source",
    "Stats",
    "Store",
    "UndoBlocked",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'agentmem' has no attribute {name!r}")
    value = getattr(import_module(f"agentmem.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
