"""What does a command cost, all its processes together?    command -> CPU-seconds, wall, peak memory

PySpark's daemon ignores SIGCHLD, so `time` and getrusage lose the CPU of its workers: every process of
the tree is sampled in /proc, its own user and system time, and the last value of each is kept. The
sampler makes itself the reaper of orphans, so a process whose parent has died stays in the tree. What
is lost: at most a sampling interval of each process at its end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INTERVAL_S = 0.1
MEMORY_EVERY = 20  # samples of CPU time to one of memory
TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Cost:
    """`peak_bytes`: the largest sum of the tree's proportional set sizes (shared pages once)."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    exit_code: int  # -9: stopped at the time limit
    by_name: dict[str, float]  # CPU-seconds of each name of a process: java, python, ...


@dataclass(frozen=True)
class Seen:
    parent: int
    started: int  # ticks since boot: tells a process from a later one of the same id
    ticks: int
    name: str


class Tree:
    """CPU ticks of every descendant of this process that was ever seen."""

    def __init__(self) -> None:
        self.ticks: dict[tuple[int, int], int] = {}
        self.names: dict[tuple[int, int], str] = {}
        self.peak_bytes = 0

    def sample(self, with_memory: bool) -> None:
        living = _descendants(_processes(), os.getpid())
        for pid, seen in living.items():
            self.ticks[pid, seen.started] = seen.ticks
            self.names[pid, seen.started] = seen.name
        if with_memory:
            self.peak_bytes = max(self.peak_bytes, sum(map(_pss_bytes, living)))

    @property
    def cpu_s(self) -> float:
        return sum(self.ticks.values()) / TICKS

    @property
    def by_name(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for key, ticks in self.ticks.items():
            found[self.names[key]] = found.get(self.names[key], 0.0) + ticks / TICKS
        return found


def run(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600,
    on_sample: Callable[[Tree], None] | None = None,
) -> Cost:
    """Runs a command with its output in `log` and measures it; nothing else may run below this process.

    `on_sample` gets what has been seen so far.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(_descendants(_processes(), os.getpid()))
    if before:
        raise RuntimeError(f"expected no process below the sampler, found {sorted(before)}")
    tree, started = Tree(), time.monotonic()
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
        number, code = 0, None
        while code is None:
            tree.sample(with_memory=number % MEMORY_EVERY == 0)
            if on_sample is not None:
                on_sample(tree)
            if time.monotonic() - started > timeout_s:
                _end_all()
                child.wait()
                code = -signal.SIGKILL
            # A zombie's times stay in /proc until it is waited for: sample, then reap.
            elif os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                tree.sample(with_memory=False)
                code = child.wait()
            else:
                time.sleep(INTERVAL_S)
            number += 1
    wall_s = time.monotonic() - started
    while _descendants(_processes(), os.getpid()):  # what the command left behind
        tree.sample(with_memory=False)
        _end_all()
        _reap()
        time.sleep(INTERVAL_S)
    return Cost(tree.cpu_s, wall_s, tree.peak_bytes, code, tree.by_name)


def _processes() -> dict[int, Seen]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    head, _, tail = file.read().rpartition(b")")
            except OSError:
                continue
            fields = tail.split()
            if len(fields) > 19:
                ticks = int(fields[11]) + int(fields[12])
                comm = head.partition(b"(")[2].decode("utf-8", "replace")
                found[int(name)] = Seen(int(fields[1]), int(fields[19]), ticks, comm)
    return found


def _descendants(processes: dict[int, Seen], root: int) -> dict[int, Seen]:
    children: dict[int, list[int]] = {}
    for pid, seen in processes.items():
        children.setdefault(seen.parent, []).append(pid)
    found, waiting = {}, children.get(root, [])[:]
    while waiting:
        pid = waiting.pop()
        found[pid] = processes[pid]
        waiting += children.get(pid, [])
    return found


def _pss_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _end_all() -> None:
    for pid in _descendants(_processes(), os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
