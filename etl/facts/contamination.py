r"""Which benchmark tasks does a text give away?    string array -> the tasks and what of them it holds

A needle is the description of a task (its docstring, up to the examples where that is long enough) or its
canonical solution. A text holds it if the needle's tokens follow one another in it: words alone for a
description, which may stand re-indented, re-wrapped or as a comment of another language; words and
punctuation for a solution. `\n`, `\t` and `\"` count as what they stand for, as in JSON.

Needles are digests: `etl/data/benchmark_needles.tsv`, written by `jobs.benchmark_needles`, which also lists those
that are no evidence. Two 5-word shingles of each are its anchors. A text's shingles are at hand where
its signature is drawn (`etl.facts.minhash`), so that a look-up an anchor is all that most texts cost; those that
hold both are compared here.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import re
import zlib
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.kernels import Mask

VERSION = 1  # of this module and its needles: raised when either changes

DESCRIPTION, SOLUTION = "description", "solution"
TOKENS = {DESCRIPTION: re.compile(r"\w+"), SOLUTION: re.compile(r"\w+|[^\w\s]")}
DATA = "data/benchmark_needles.tsv"
COLUMNS = ("task", "kind", "num_tokens", "anchors", "first", "digest", "excluded")
_ESCAPES = re.compile(r"\\(?:[nrt]|([\"']))")


class Needle(NamedTuple):
    """`anchors` as `etl.facts.minhash` hashes shingles, `first` the first token's CRC-32, `digest` of all tokens."""

    task: str
    kind: str
    num_tokens: int
    anchors: tuple[int, int]
    first: int
    digest: str


def tokens_of(kind: str, text: str) -> list[str]:
    """Tokens of a needle of that kind, or of a text that is searched for it."""
    return TOKENS[kind].findall(_ESCAPES.sub(lambda found: found[1] or " ", text))


def digest_of(tokens: list[str]) -> str:
    return hashlib.blake2b("\n".join(tokens).encode(), digest_size=16).hexdigest()


def first_of(tokens: list[str]) -> int:
    return zlib.crc32(tokens[0].encode())


@functools.cache
def needles() -> tuple[Needle, ...]:
    """Those that are evidence."""
    text = resources.files("etl").joinpath(DATA).read_text("utf-8")
    return tuple(
        Needle(row["task"], row["kind"], int(row["num_tokens"]), _pair(row["anchors"]),
               int(row["first"], 16), row["digest"])
        for row in csv.DictReader(text.splitlines(), delimiter="\t")
        if not row["excluded"]
    )  # fmt: skip


def _pair(text: str) -> tuple[int, int]:
    one, other = (int(word, 16) for word in text.split())
    return one, other


@functools.cache
def anchors() -> npt.NDArray[np.uint64]:
    """uint64[needles, 2]"""
    return np.array([needle.anchors for needle in needles()], np.uint64)


def matches(content: pa.Array, has_anchors: npt.NDArray[np.bool_], due: Mask) -> pa.ListArray:
    """`HumanEval/0 description` and the like of each content; empty where it holds none or is not due.

    `has_anchors` is [contents, needles]: both of them. Cost: the texts with both are tokenised once a kind.
    """
    found: list[str] = []
    counts = np.zeros(len(content) + 1, np.int32)
    for row in np.flatnonzero(has_anchors.any(axis=1) & due).tolist():
        candidates = [needles()[number] for number in np.flatnonzero(has_anchors[row])]
        held = sorted(_held(content[row].as_py(), candidates))
        counts[row + 1] = len(held)
        found += held
    offsets = pa.array(np.cumsum(counts), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(found, pa.string()))


def _held(text: str, candidates: list[Needle]) -> Iterator[str]:
    for kind in TOKENS:
        of_kind = [needle for needle in candidates if needle.kind == kind]
        if not of_kind:
            continue
        tokens = tokens_of(kind, text)
        starts = {needle.first for needle in of_kind}
        places = [
            (hashed, place)
            for place, token in enumerate(tokens)
            if (hashed := zlib.crc32(token.encode())) in starts
        ]
        for needle in of_kind:
            if any(
                digest_of(tokens[place : place + needle.num_tokens]) == needle.digest
                for hashed, place in places
                if hashed == needle.first
            ):
                yield f"{needle.task} {kind}"
