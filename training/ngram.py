"""How well do n-grams foretell the validation tokens?    shards -> nats a token of n-gram models

    python -m training.ngram --manifest LAKE/shards/manifest.json

What a trained model must beat; with `--read OUTPUT`, n-grams of what the run in that folder has read, and no
more. Interpolated Kneser-Ney: each order discounts its counts by D = n1 / (n1 + 2 n2)
and gives what it took to the order below, whose counts are of distinct contexts; below the unigrams lies the
uniform distribution over the vocabulary. A token that follows the end of a document is foretold by no model
(`training.batches` ignores it too); n-grams reach back over that end, but not over the start of a shard.

Source: Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1998, section 2.7.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from etl.errors import ConfigError, StackmillError
from etl.pack.tokenizer import END
from training.config import TrainingConfig, load_resolved
from training.corpus import open_corpus
from training.files import DATA
from training.shards import Ints, Shards, Tokens

NAMES = {1: "unigram", 2: "bigram", 3: "trigram"}
BITS = 16  # of a token in a key
CHUNK = 1 << 22  # validation tokens evaluated at a time

Keys = npt.NDArray[np.uint64]  # the tokens of an n-gram, the last in the low bits
Floats = npt.NDArray[np.float64]


class Counts(NamedTuple):
    """n-grams in ascending order, and how often each stands."""

    keys: Keys
    counts: Ints


class Loss(NamedTuple):
    nats: float
    num_tokens: int

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.num_tokens


def keys_of(tokens: Tokens, order: int) -> Keys:
    """The n-gram of each token but those that begin a document."""
    padded = np.concatenate((np.full(max(order - 1, 1), END, np.uint16), tokens))
    keys = np.zeros(len(tokens), np.uint64)
    for back in reversed(range(order)):
        end = len(padded) - back
        keys = keys << np.uint64(BITS) | padded[end - len(tokens) : end]
    found: Keys = keys[padded[len(padded) - len(tokens) - 1 : -1] != END]
    return found


def count(shards: Iterable[Tokens], order: int) -> Counts:
    """Memory: 16 bytes a distinct n-gram and shard, and 16 a token of the largest shard."""
    parts = [np.unique(keys_of(tokens, order), return_counts=True) for tokens in shards]
    keys = np.concatenate([part[0] for part in parts])
    return _summed(keys, np.concatenate([part[1] for part in parts]))


def _summed(keys: Keys, counts: Ints) -> Counts:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else order
    sums = np.add.reduceat(counts[order], first) if len(keys) else counts
    return Counts(keys[first], sums.astype(np.int64))


@dataclass(frozen=True)
class _Order:
    """One order of a model: discounted counts, and what its contexts have to give away."""

    grams: Counts
    discount: float
    contexts: Keys
    totals: Ints
    num_followers: Ints

    @classmethod
    def of(cls, grams: Counts) -> _Order:
        ones, twos = (int((grams.counts == times).sum()) for times in (1, 2))
        contexts, first, followers = np.unique(
            grams.keys >> np.uint64(BITS), return_index=True, return_counts=True
        )
        return cls(
            grams,
            ones / (ones + 2 * twos) if ones and twos else 0.5,
            contexts,
            np.add.reduceat(grams.counts, first),
            followers,
        )

    def probabilities(self, keys: Keys, below: Floats) -> Floats:
        """Of each n-gram's last token behind the others, given those of the order below."""
        place, is_known = _find(self.contexts, keys >> np.uint64(BITS))
        total = np.where(is_known, self.totals[place], 1)
        given = np.where(is_known, self.discount * self.num_followers[place] / total, 1.0)
        gram, is_there = _find(self.grams.keys, keys)
        own = np.where(is_there, np.maximum(self.grams.counts[gram] - self.discount, 0.0), 0.0)
        found: Floats = own / total + given * below
        return found


def _find(sorted_keys: Keys, wanted: Keys) -> tuple[Ints, npt.NDArray[np.bool_]]:
    place = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return place, sorted_keys[place] == wanted


@dataclass(frozen=True)
class KneserNey:
    """`orders` from the unigrams up."""

    orders: tuple[_Order, ...]
    vocabulary: int

    @classmethod
    def fit(cls, shards: Iterable[Tokens], order: int, vocabulary: int) -> KneserNey:
        """Raises ConfigError where there is nothing to learn from."""
        grams = count(shards, order)
        if not len(grams.keys):
            raise ConfigError(
                "training tokens: expected at least two in a document, found fewer: pack more text"
            )
        orders = [_Order.of(grams)]
        for lower in reversed(range(1, order)):
            suffixes = grams.keys & np.uint64((1 << BITS * lower) - 1)
            grams = _summed(suffixes, np.ones(len(suffixes), np.int64))
            orders.append(_Order.of(grams))
        return cls(tuple(reversed(orders)), vocabulary)

    def probabilities(self, tokens: Tokens) -> Floats:
        """Of each token but those that begin a document."""
        found = np.full(len(keys_of(tokens, 1)), 1.0 / self.vocabulary)
        for number, order in enumerate(self.orders, start=1):
            found = order.probabilities(keys_of(tokens, number), found)
        return found

    def loss(self, shards: Iterable[Tokens]) -> Loss:
        """Raises ConfigError where there is nothing to foretell."""
        nats, num_tokens = 0.0, 0
        for tokens in shards:
            for piece, num_before in _pieces(tokens, len(self.orders)):
                probabilities = self.probabilities(piece)
                # What the piece before has foretold stands here as context alone
                is_own = len(keys_of(piece[:num_before], 1))
                nats -= float(np.log(probabilities[is_own:]).sum())
                num_tokens += len(probabilities) - is_own
        if not num_tokens:
            raise ConfigError(
                "validation tokens: expected at least two in a document, found fewer: raise "
                "decide.split.validation_fraction and pack again"
            )
        return Loss(nats, num_tokens)


def _pieces(tokens: Tokens, order: int) -> Iterator[tuple[Tokens, int]]:
    """Stretches of CHUNK tokens, each behind up to order + 1 tokens of the one before."""
    for start in range(0, len(tokens), CHUNK):
        before = min(start, order + 1)
        yield tokens[start - before : start + CHUNK], before


def baselines(
    manifest: Path,
    orders: Sequence[int],
    windows: tuple[int, int] | None = None,
    read: Iterable[Tokens] | None = None,
) -> dict[str, Loss]:
    """By name, on the tokens of the validation split; with `windows` (length, tokens at most) on those
    that a model of that context is evaluated on. Counted over `read`, or all of the training split."""
    train, validation = (Shards(manifest, split) for split in ("train", "validation"))
    vocabulary = int(train.manifest["tokenizer"]["vocabulary"])
    held_out: list[Tokens] = [np.asarray(shard.tokens) for shard in validation.shards]
    if windows is not None:
        chosen = validation.spread(*windows)
        held_out = [validation.window(one.shard, one.number, windows[0]) for one in chosen]
    counted = list(read or (np.asarray(shard.tokens) for shard in train.shards))
    return {
        NAMES[order]: KneserNey.fit(counted, order, vocabulary).loss(held_out) for order in orders
    }


def windows_read(output: Path) -> Iterator[Tokens]:
    """Every window that the pretraining run in this folder reads, as it lies in the shards."""
    config = load_resolved(output)
    if not isinstance(config, TrainingConfig):
        raise ConfigError(f"{output}: expected the folder of a pretraining, found a fine-tuning")
    described = json.loads((output / DATA).read_text("utf-8"))
    pinned = {source["name"]: source["manifest"] for source in described["mixture"]}
    corpus = open_corpus(config, pinned)
    for stage in config.stages:
        batches = corpus.batches(stage)
        for step in range(stage.steps):
            for place in batches.places(step):
                shards = corpus.sources[place.source].train
                yield np.asarray(shards.window(place.shard, place.window, stage.sequence_length))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.ngram", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--manifest", type=Path, required=True, help="of the packed shards")
    parser.add_argument("--orders", type=int, nargs="+", default=[1, 2, 3], choices=sorted(NAMES))
    parser.add_argument(
        "--windows", type=int, nargs=2, metavar=("LENGTH", "TOKENS"),
        help="a training configuration's last sequence_length and validation.max_tokens: the same "
        "tokens; all if not given",
    )  # fmt: skip
    parser.add_argument(
        "--read", type=Path, metavar="OUTPUT",
        help="a pretraining's folder: count what it read; all training tokens if not given",
    )  # fmt: skip
    args = parser.parse_args(argv)
    try:
        read = windows_read(args.read) if args.read else None
        found = baselines(args.manifest, args.orders, args.windows and tuple(args.windows), read)
    except StackmillError as error:
        sys.stderr.write(f"training.ngram: {error}\n")
        return error.exit_code
    shown = {
        name: {"nats_per_token": loss.nats_per_token, "tokens": loss.num_tokens}
        for name, loss in found.items()
    }
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
