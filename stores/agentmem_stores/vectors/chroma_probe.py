"""Run as a program on a Chroma folder: open it, search it, write to it. Ends with 0 when all of that works.

A process of its own, because the native code may take the process down on files that were cut off.
"""

from __future__ import annotations

import sys
from typing import Any

_SAMPLE = 64
_SAME = 1e-3  # of a cosine distance, in float32
_FOUND = 0.9  # of the sample that must find itself: an approximate index may miss one, a torn one finds next to none


def main(path: str, name: str) -> str:
    """What is wrong, "" when nothing is."""
    import chromadb
    from chromadb.config import Settings

    client: Any = chromadb.PersistentClient(path, Settings(anonymized_telemetry=False))
    try:
        collection = client.get_collection(name, embedding_function=None)
    except chromadb.errors.NotFoundError:
        return ""  # killed before it was made
    held = collection.get(limit=_SAMPLE, include=["embeddings", "metadatas"])
    ids, embeddings = held["ids"], held["embeddings"]
    if not ids or embeddings is None:
        return "" if not collection.count() else "it holds rows that cannot be read"
    # By distance and not by id: of texts that say the same, any may come first.
    nearest = collection.query(query_embeddings=embeddings, n_results=1, include=["distances"])["distances"] or []
    found = sum(bool(distances) and distances[0] < _SAME for distances in nearest)
    if found < _FOUND * len(ids):
        return f"only {found} of {len(ids)} vectors find themselves"
    collection.upsert(
        ids=ids[:1], embeddings=embeddings[:1], metadatas=held["metadatas"][:1] if held["metadatas"] else None
    )
    client.close()
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
