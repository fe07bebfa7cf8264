"""An environment of its own for a tool that is measured beside ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def python_of(folder: Path, packages: Sequence[str]) -> Path:
    """The interpreter of an environment with these packages, which is made on first use.

    Raises CalledProcessError where it cannot be made.
    """
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*install, *packages], check=True)
        ready.touch()
    return python
