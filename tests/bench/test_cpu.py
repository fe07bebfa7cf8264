"""The sampler counts what `time` loses, and nothing is left running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = (
    "import sys; from pathlib import Path; from bench import cpu\n"
    "cost = cpu.run([sys.executable, '-c', {0!r}], log=Path({1!r}), timeout_s={2})\n"
    "import dataclasses, json; print(json.dumps(dataclasses.asdict(cost)))"
)
BURN = "import time\nwhile time.process_time() < {0}: pass\n"


def measured(script: str, tmp_path: Path, timeout_s: float = 60) -> dict[str, Any]:
    """In a process of its own: the sampler becomes the reaper of everything below it."""
    code = RUN.format(script, str(tmp_path / "log"), timeout_s)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return dict(json.loads(done.stdout))


def test_a_worker_whose_parent_ignores_its_end_is_counted(tmp_path: Path) -> None:
    script = (
        "import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"if os.fork() == 0:\n    exec({BURN.format(1.0)!r})\n    os._exit(0)\n"
        "time.sleep(0.1)\ntry:\n    os.wait()\nexcept ChildProcessError:\n    pass\n"
    )
    cost = measured(script, tmp_path)
    assert cost["exit_code"] == 0
    assert 0.9 < cost["cpu_s"] < 1.5
    assert sum(cost["by_name"].values()) == pytest.approx(cost["cpu_s"])


def test_an_orphan_is_counted_and_ended(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        f"if os.fork() == 0:\n    os.setsid()\n    exec({BURN.format(0.5)!r})\n    time.sleep(60)\n"
        "time.sleep(2)\n"
    )
    cost = measured(script, tmp_path)
    assert 0.4 < cost["cpu_s"] < 1.0
    assert cost["wall_s"] < 30


def test_memory_of_the_tree_is_summed_and_a_command_that_takes_too_long_is_stopped(
    tmp_path: Path,
) -> None:
    script = "import os, time\nos.fork()\nkept = bytearray(b'x') * (100 << 20)\ntime.sleep(60)\n"
    cost = measured(script, tmp_path, timeout_s=4)
    assert cost["exit_code"] == -9
    assert 200 << 20 < cost["peak_bytes"] < 300 << 20
