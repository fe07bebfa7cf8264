"""Which part of all is drawn?    hashes -> a share of them, whatever else there is"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def is_below(digest: Column | str, share: float) -> Column:
    """Whether a hash, as hex digits, is among the least `share` of all."""
    return F.conv(F.substring(digest, 1, 8), 16, 10).cast("long") < int(share * 2**32)
