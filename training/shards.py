"""What is there to read?    manifest -> shards, mapped into memory, and windows of them

A window is `length` + 1 tokens: what is read and, one further, what is to be said. Windows of a shard follow one
another without a gap; what is left at its end is no window. All shards of a split in the order of the manifest
make one row of windows, numbered from 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from etl.errors import ContractError
from etl.pack.manifest import read
from etl.pack.tokenizer import END, FILE_SEP, REPO_NAME

Tokens = npt.NDArray[np.uint16]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    name: str
    sha256: str
    tokens: Tokens
    ends: Ints  # behind each document's end, ascending


class Window(NamedTuple):
    shard: int
    number: int


class Shards:
    """The shards of one split, by a manifest.

    Raises ContractError for a manifest of another format or tokenizer, and for a shard that is missing,
    cut short, or (with `verify`) not what the manifest says.
    """

    def __init__(
        self, manifest: Path, split: str, tokenizer_sha256: str | None = None, verify: bool = False
    ) -> None:
        self.manifest, self.digest = read(manifest)
        self.tokenizer: str = self.manifest["tokenizer"]["sha256"]
        if tokenizer_sha256 is not None and tokenizer_sha256 != self.tokenizer:
            raise ContractError(
                f"{manifest}: expected shards of the tokenizer {tokenizer_sha256[:12]}, found those of "
                f"{self.tokenizer[:12]}: run `stackmill pack` with this tokenizer"
            )
        self.shards = [
            _open(manifest.parent, entry, verify)
            for entry in self.manifest["shards"]
            if entry["split"] == split
        ]

    def window_counts(self, length: int) -> Ints:
        """Windows of each shard."""
        counts = [max(0, (len(shard.tokens) - 1) // length) for shard in self.shards]
        return np.array(counts, np.int64)

    def spread(self, length: int, max_tokens: int) -> list[Window]:
        """Windows of at most so many tokens, evenly over all; one at least, where there is one."""
        ends = np.cumsum(self.window_counts(length))
        total = int(ends[-1]) if len(ends) else 0
        wanted = min(total, max(1, max_tokens // length))
        chosen = (np.arange(wanted) * total) // max(1, wanted)
        owners = np.searchsorted(ends, chosen, side="right")
        begins = np.concatenate(([0], ends[:-1]))
        return [
            Window(int(shard), int(number - begins[shard]))
            for shard, number in zip(owners, chosen, strict=True)
        ]

    def window(self, shard: int, number: int, length: int) -> Tokens:
        """uint16[length + 1]"""
        start = number * length
        return self.shards[shard].tokens[start : start + length + 1]

    def document_start(self, shard: int, offset: int) -> int:
        """First token of the document that the token lies in."""
        ends = self.shards[shard].ends
        place = int(np.searchsorted(ends, offset, side="right"))
        return int(ends[place - 1]) if place else 0

    def mark_before(self, shard: int, offset: int) -> int:
        """The last of END, REPO_NAME and FILE_SEP before the token; END where there is none."""
        tokens = self.shards[shard].tokens
        end = offset
        while end > 0:
            start = max(0, end - 4096)
            found = np.flatnonzero(np.isin(tokens[start:end], (END, REPO_NAME, FILE_SEP)))
            if len(found):
                return int(tokens[start + found[-1]])
            end = start
        return END


def _open(folder: Path, entry: dict[str, Any], verify: bool) -> Shard:
    path = folder / entry["name"]
    size = path.stat().st_size if path.exists() else -1
    if size != 2 * entry["num_tokens"]:
        found = f"{size} bytes" if size >= 0 else "no file"
        raise ContractError(
            f"{path}: expected {2 * entry['num_tokens']} bytes, found {found}: run `stackmill pack --force`"
        )
    tokens = np.memmap(path, "<u2", "r") if size else np.empty(0, np.uint16)
    if verify and hashlib.sha256(tokens.tobytes()).hexdigest() != entry["sha256"]:
        raise ContractError(
            f"{path}: expected the digest {entry['sha256'][:12]}, found another: run `stackmill pack --force`"
        )
    return Shard(entry["name"], entry["sha256"], tokens, np.flatnonzero(tokens == END) + 1)
