"""What is compared, and within which bounds?    conf/ -> NearDedupConfig

The bands say which documents are compared at all, the sketch bound which of those are read again.
Both follow from `floor`: the least similarity that is to be found.
"""

from __future__ import annotations

import math
import re

from pydantic import Field, model_validator

from etl.config import Config
from etl.errors import ContractError
from etl.facts import minhash

SCHEME_VERSION = 2  # raised by any change of what the tables of near_dedup hold
SKETCH_LOSS = 1e-6  # chance that the sketch bound loses a pair that is as similar as the floor


class Bounds(Config):
    """What one task and the driver may hold; no result depends on them."""

    block_bytes: int = Field(
        default=128 << 20, ge=1 << 10, description="shingles or sketches that one task compares"
    )
    driver_pairs: int = Field(
        default=16_000_000, ge=0, description="pairs that the driver holds, 24 bytes each"
    )


class NearDedupConfig(Bounds):
    floor: float = Field(
        default=0.7, ge=0.3, le=1, description="least Jaccard similarity that is found and stored"
    )
    bands: int = Field(default=42, ge=1, le=256, description="bands of a sketch")
    rows: int = Field(default=6, ge=1, le=16, description="sketch positions in a band")
    bucket_documents: int = Field(
        default=64, ge=2, description="a fuller bucket's documents are compared at the election"
    )
    bucket_pairs: int = Field(
        default=1_000_000, ge=1, description="pairs of new and held documents of such a bucket"
    )

    @model_validator(mode="after")
    def _fits(self) -> NearDedupConfig:
        if self.bands * self.rows > minhash.POSITIONS:
            raise ValueError(
                f"bands * rows = {self.bands * self.rows}: must be at most {minhash.POSITIONS}, "
                "the positions of a sketch"
            )
        return self

    @property
    def scheme(self) -> str:
        """Equal where documents, bands and pairs may stand in one table."""
        return (
            f"{SCHEME_VERSION} signatures {minhash.VERSION} bands {self.bands}x{self.rows} "
            f"floor {self.floor:g}"
        )

    @property
    def min_agreement(self) -> int:
        """Sketch positions that must agree: fewer come by chance below SKETCH_LOSS at the floor.

        A pair more similar than the floor is lost less often still. The binomial is an upper
        bound: the positions of a fast similarity sketch are negatively correlated.
        """
        lost, agreement = 0.0, 0
        while True:
            lost += _binomial(minhash.POSITIONS, agreement, self.floor)
            if lost >= SKETCH_LOSS:
                return agreement
            agreement += 1

    def probability(self, similarity: float) -> float:
        """That two documents of this similarity share a band."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands

    def curve(self) -> list[tuple[float, float]]:
        """(similarity, probability of being compared), for the log and the documentation."""
        return [(step / 20, self.probability(step / 20)) for step in range(6, 21)]


def config_of(scheme: str, bounds: Bounds) -> NearDedupConfig:
    """The configuration that stored rows were compared by."""
    found = re.fullmatch(r"\d+ signatures \d+ bands (\d+)x(\d+) floor (\S+)", scheme)
    if found is None:
        raise ContractError(
            f"documents: scheme {scheme!r}: expected one that this version wrote: run near_dedup"
        )
    bands, rows, floor = found.groups()
    return NearDedupConfig(
        bands=int(bands), rows=int(rows), floor=float(floor),
        block_bytes=bounds.block_bytes, driver_pairs=bounds.driver_pairs,
    )  # fmt: skip


def _binomial(count: int, successes: int, share: float) -> float:
    return math.comb(count, successes) * share**successes * (1.0 - share) ** (count - successes)
