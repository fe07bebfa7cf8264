"""One reader a kind of source; each yields repositories, files and what could not be read."""

from __future__ import annotations

import importlib
from types import ModuleType

READERS = {
    "tree": "etl.sources.tree",
    "site-packages": "etl.sources.site_packages",
    "git": "etl.sources.git",
    "archives": "etl.sources.archives",
}


def reader_for(kind: str) -> ModuleType:
    """The module whose `list_units` and `read_unit` read sources of this kind."""
    return importlib.import_module(READERS[kind])
