"""What does the model read in a row?    files of a repository -> one document of tokens

    <repo_name>NAME<file_sep>PATH\nTEXT<file_sep>PATH\nTEXT...<|endoftext|>      for a share of repositories
    <file_sep>TEXT<file_sep>TEXT...<|endoftext|>                                 for the others

Which it is follows from a keyed hash of the repository. Tokens of a bucket of repositories lie one document
after the other in a shard: a file of little-endian uint16, which can be mapped into memory, and in which
windows of any length can be taken. `shard_documents` says where in it each file lies.

Source: StarCoder 2, section 5 (repository context).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from etl.pack.order import dependency_order
from etl.pack.tokenizer import END, FILE_SEP, REPO_NAME, Encoder, Tokens

Order = Literal["dependency", "path", "random"]

ORDER_BYTES = (
    256 << 20
)  # of a repository's text held at a time; a larger one is cut, each piece in order


class Placed(NamedTuple):
    """Where a file lies: its tokens, the mark before it and its path counted in."""

    repo_id: str
    path: str
    blob_id: str
    text_id: str
    language: str | None
    offset: int
    num_tokens: int
    num_bytes: int


def share_of(key: str, *parts: str) -> float:
    """A number in [0, 1) that follows from the key and the parts alone."""
    digest = hashlib.blake2b(
        "\0".join(parts).encode(), key=key.encode()[:64], digest_size=8
    ).digest()
    return int.from_bytes(digest, "big") / 2**64


class Writer:
    """Documents of one shard, in the order in which the repositories come."""

    def __init__(
        self,
        encoder: Encoder,
        write: Callable[[bytes], Any],
        names_rate: float,
        order: Order,
        key: str,
    ) -> None:
        self.encoder, self.write = encoder, write
        self.names_rate, self.order, self.key = names_rate, order, key
        self.num_tokens = self.num_documents = 0
        self.digest = hashlib.sha256()

    def repository(
        self, repo_id: str, repo_name: str, files: list[dict[str, Any]]
    ) -> Iterator[Placed]:
        """Writes a document, or a piece of one, of files with the COLUMNS but the first two."""
        has_names = share_of(self.key, "names", repo_id) < self.names_rate
        if has_names:
            self._put(REPO_NAME, self.encoder.encode(repo_name))
        for place in self._places(repo_id, files):
            file = files[place]
            text = f"{file['path']}\n{file['content']}" if has_names else file["content"]
            start = self.num_tokens
            self._put(FILE_SEP, self.encoder.encode(text))
            yield Placed(
                repo_id, file["path"], file["blob_id"], file["text_id"], file["language"], start,
                self.num_tokens - start, file["length_bytes"],
            )  # fmt: skip
        self._put(END, np.empty(0, np.uint16))
        self.num_documents += 1

    def _places(self, repo_id: str, files: list[dict[str, Any]]) -> list[int]:
        paths = [file["path"] for file in files]
        if self.order == "dependency":
            return dependency_order(paths, [file["content"] for file in files])
        if self.order == "path":
            return sorted(range(len(files)), key=paths.__getitem__)
        return sorted(
            range(len(files)), key=lambda i: share_of(self.key, "order", repo_id, paths[i])
        )

    def _put(self, sentinel: int, tokens: Tokens) -> None:
        whole = np.empty(len(tokens) + 1, "<u2")
        whole[0], whole[1:] = sentinel, tokens
        raw = whole.tobytes()
        self.digest.update(raw)
        self.write(raw)
        self.num_tokens += len(whole)


COLUMNS = (
    "repo_id",
    "repo_name",
    "path",
    "content",
    "blob_id",
    "text_id",
    "language",
    "length_bytes",
)


def by_repository(
    batches: Iterable[pa.RecordBatch],
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(repo_id, repo_name, files) of batches with COLUMNS that are sorted by repo_id and path.

    A repository of more than ORDER_BYTES comes in pieces.
    """
    held: list[dict[str, Any]] = []
    num_bytes = 0
    for batch in batches:
        for row in batch.select(COLUMNS).to_pylist():
            is_other = bool(held) and row["repo_id"] != held[0]["repo_id"]
            if is_other or num_bytes > ORDER_BYTES:
                yield held[0]["repo_id"], held[0]["repo_name"], held
                held, num_bytes = [], 0
            held.append(row)
            num_bytes += len(row["content"])
    if held:
        yield held[0]["repo_id"], held[0]["repo_name"], held
