"""Many regular expressions matched at once: expressions, numbers, flags -> a database of Hyperscan

Source: Wang et al., "Hyperscan: A Fast Multi-pattern Regex Matcher for Modern CPUs", NSDI 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CASELESS, MULTILINE, SINGLEMATCH, SOM_LEFTMOST = 1, 4, 8, 256  # flags; their sums


def compile_all(expressions: Sequence[bytes], ids: Sequence[int], flags: Sequence[int]) -> Any:
    """Its `scan(buffer, match_event_handler=f)` calls f(id, start, end, flags, context) for each match."""
    import hyperscan  # not at import: its library need not be there where nothing is scanned

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(expressions), ids=list(ids), elements=len(expressions), flags=list(flags)
    )
    return database
