"""Stand-ins for a model: embedders as small as the protocol allows, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIMENSION = 8


class TinyEmbedder:
    """Eight numbers from a digest of the text: equal texts are near, and nothing else means anything."""

    id = "tiny-8-v1"
    dimension = DIMENSION
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        digests = [hashlib.blake2b(text.encode(), digest_size=4 * DIMENSION).digest() for text in texts]
        whole = np.frombuffer(b"".join(digests), "<u4").reshape(len(texts), DIMENSION)
        return (whole / 2**31 - 1).astype(np.float32)


class DigestEmbedder:
    """A text's digest as its vector: deterministic, meaningless, and quick enough not to be what is measured."""

    id = "digest-16-v1"
    dimension = 16
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(len(texts), 16).astype(np.float32) - 127.5


def given_vector(text: str) -> list[float]:
    """A vector that the digest embedder would not make for the text, to tell one given with it from one made."""
    return (-DigestEmbedder().embed([text])[0]).tolist()  # type: ignore[no-any-return]
