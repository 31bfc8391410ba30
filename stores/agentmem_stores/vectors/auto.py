"""How an index is chosen when none is named: by the size of the scope, as measured.

`benchmarks/scale.py` compares the two; its committed results say where they cross.
"""

from __future__ import annotations

from importlib.util import find_spec

from agentmem.index import Index, Site
from agentmem_stores.vectors.chroma import open_chroma
from agentmem_stores.vectors.exact import open_exact

__all__ = ["CHROMA_FROM", "open_auto"]

CHROMA_FROM = 100_000  # live records of a scope


def open_auto(site: Site) -> Index:
    """Exact below `CHROMA_FROM` records, where it is the fastest and always fresh; Chroma in the memory's folder above.

    A memory without a folder of its own (a database) stays exact until a Chroma server is named: index="chroma:URL".
    """
    if site.folder is None or find_spec("chromadb") is None:
        return open_exact(site)
    if site.ledger.counts().get("live", 0) < CHROMA_FROM:
        return open_exact(site)
    return open_chroma(site)
