"""File systems of a given size, for tests of what a full disk does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A new folder that is a file system of its own in memory; `size` as `mount` reads it, `8m`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(folder: Path, size: str) -> None:
    """Gives a file system that `mounted` made another size, with its files as they are."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
