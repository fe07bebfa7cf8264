"""What do the shards hold?    manifest.json beside them: all that a loader needs

Each manifest also lies under a name of its own, by its digest: a run names the one that it read, and it
stays when the shards are packed anew.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from etl.errors import ContractError

FORMAT = 1  # of shards and manifest
MANIFEST = "manifest.json"


def name_of(digest: str) -> str:
    """The name that a manifest of this SHA-256 keeps."""
    return f"manifest-{digest[:16]}.json"


def write(folder: Path, manifest: dict[str, Any]) -> Path:
    """`manifest` with FORMAT, under both names; the one that it keeps."""
    text = json.dumps({"format": FORMAT, **manifest}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    own = name_of(hashlib.sha256(text.encode()).hexdigest())
    for name in (own, MANIFEST):
        temporary = folder / f".{uuid.uuid4().hex}.part"
        temporary.write_text(text, "utf-8")
        temporary.replace(folder / name)
    return folder / own


def newest(folder: Path, number: int) -> list[Path]:
    """The manifests that were written last, the current one first."""
    found = folder.glob("manifest-*.json")
    return sorted(found, key=lambda path: -path.stat().st_mtime_ns)[:number]


def read(path: Path) -> tuple[dict[str, Any], str]:
    """The manifest and its SHA-256. Raises ContractError where there is none, or one of another format."""
    try:
        raw = path.read_bytes()
        found: dict[str, Any] = json.loads(raw)
    except (OSError, ValueError):
        raise ContractError(
            f"{path}: expected a manifest, found none: run `stackmill pack`"
        ) from None
    if found.get("format") != FORMAT:
        raise ContractError(
            f"{path}: expected a manifest of format {FORMAT}, found {found.get('format')}: pack again with "
            "this version"
        )
    return found, hashlib.sha256(raw).hexdigest()
