"""Does a program that nobody has read end without an error?    Python source -> Outcome

In bubblewrap: namespaces of its own for processes, network, users, IPC; no capability; nothing of the machine
but `/usr` and the Python that runs it, read-only; a /tmp in memory, of bounded size. Time, memory and files are
limited besides, and no process can be started (a seccomp filter). A program has passed when the code around it
says so, with a word that it was not told: one that ends early has not.

Unsafe is without bubblewrap: the limits alone, and all files and the network of the user.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from etl.config import Config
from etl.errors import ConfigError

PASSED, TIMED_OUT, ENDED = "passed", "timed out", "ended early"
GRACE_S = 1  # for the interpreter to start
MAX_WORD = 80  # characters of an error's name that are kept

# Runs the source that comes by stdin; says the name of its error, or the word that was the first line.
# Threads alone may be started: a limit on processes (RLIMIT_NPROC) does not hold root.
_RUNNER = """
import ctypes, os, resource, struct, sys
memory, files, size, seconds = map(int, sys.argv[1:])
channel = os.dup(1)
null = os.open(os.devnull, os.O_RDWR)
source = sys.stdin.buffer.read()
word, _, source = source.partition(b"\\n")
for standard in (0, 1, 2):
    os.dup2(null, standard)
for limit, value in (("AS", memory), ("NOFILE", files), ("FSIZE", size), ("CPU", seconds),
                     ("CORE", 0)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + limit), (value, value))
def forbid_processes():
    machines = {"x86_64": (0xC000003E, 56, (57, 58)), "aarch64": (0xC00000B7, 220, ())}
    machine, clone, forks = machines[os.uname().machine]
    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, refuse, unknown = 0x7FFF0000, 0x80000000, 0x50001, 0x50026
    code = [(load, 0, 0, 4), (equal, 1, 0, machine), (end, 0, 0, kill), (load, 0, 0, 0),
            (at_least, 0, 1, 0x40000000), (end, 0, 0, refuse),
            (equal, 0, 1, 435), (end, 0, 0, unknown)]
    for number in forks:
        code += [(equal, 0, 1, number), (end, 0, 0, refuse)]
    code += [(equal, 1, 0, clone), (end, 0, 0, allow), (load, 0, 0, 16),
             (any_bit, 0, 1, 0x10000), (end, 0, 0, allow), (end, 0, 0, refuse)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = ctypes.create_string_buffer(struct.pack("HP", len(code), ctypes.addressof(filters)))
    prctl = ctypes.CDLL(None).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.byref(program), 0, 0):
        raise OSError
forbid_processes()
del ctypes, forbid_processes
def run(write=os.write, channel=channel, word=word, source=source):
    try:
        exec(compile(source, "program", "exec"), {"__name__": "__main__"})
    except BaseException as error:
        word = type(error).__name__.encode()
    write(channel, word[:80])
del channel, word, source
run()
os._exit(0)
"""


class SandboxConfig(Config):
    timeout_s: int = Field(default=10, ge=1, description="wall time of a program")
    memory_bytes: int = Field(default=1 << 30, ge=1 << 27, description="of a program")
    open_files: int = Field(default=64, ge=16)
    file_bytes: int = Field(default=16 << 20, ge=1 << 12, description="of a file, and of its /tmp")
    unsafe: bool = Field(default=False, description="run without bubblewrap: the machine is open")


class Outcome(NamedTuple):
    """`result` is PASSED, TIMED_OUT, ENDED, or `raised` and the name of the error."""

    result: str
    elapsed_s: float

    @property
    def has_passed(self) -> bool:
        return self.result == PASSED


def check(config: SandboxConfig) -> None:
    """Raises ConfigError unless programs can be run, and sealed off if that is asked for."""
    if not config.unsafe and shutil.which("bwrap") is None:
        raise ConfigError(
            "bwrap: expected bubblewrap on PATH, found none: install it (Debian: apt install bubblewrap), or "
            "pass --unsafe to run what the model writes with all your files and network"
        )
    outcome = run("pass", config)
    if not outcome.has_passed:
        raise ConfigError(
            f"bwrap: expected a sandbox in which Python runs, found that it {outcome.result}: allow "
            "user namespaces (sysctl kernel.unprivileged_userns_clone), or pass --unsafe to run what the "
            "model writes with all your files and network"
        )


def run(source: str, config: SandboxConfig) -> Outcome:
    """Waits for at most `timeout_s` and GRACE_S. Nothing of the program lives on."""
    word = secrets.token_hex(16)
    limits = [
        config.memory_bytes, config.open_files, config.file_bytes, config.timeout_s + GRACE_S + 1,
    ]  # fmt: skip
    python = [str(_python()), "-I", "-S", "-c", _RUNNER, *map(str, limits)]
    command = python if config.unsafe else [*_bubblewrap(config), *python]
    started = time.monotonic()
    with tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )
        try:
            process.communicate(f"{word}\n{source}".encode(), timeout=config.timeout_s + GRACE_S)
            is_late = False
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            _kill(process)
        elapsed_s = time.monotonic() - started
        answer.seek(0)
        said = answer.read(MAX_WORD).decode("ascii", "replace")
    if is_late:
        return Outcome(TIMED_OUT, elapsed_s)
    if said == word:
        return Outcome(PASSED, elapsed_s)
    return Outcome(f"raised {said}" if said.isidentifier() else ENDED, elapsed_s)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With its session; bubblewrap's namespace of processes ends with its first."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _python() -> Path:
    """The interpreter itself: a virtual environment is not in the sandbox."""
    return Path(sys.executable).resolve()


def _bubblewrap(config: SandboxConfig) -> list[str]:
    size = ["--size", str(config.file_bytes)]
    found = [
        shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv",
        "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr",
    ]  # fmt: skip
    for name in ("bin", "lib", "lib64", "sbin"):
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            found += ["--ro-bind", str(path), str(path)]
    prefix = Path(sys.base_prefix).resolve()
    if not prefix.is_relative_to("/usr"):
        found += ["--ro-bind", str(prefix), str(prefix)]
    return [
        *found, "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", *size, "--tmpfs", "/tmp",
        "--chdir", "/tmp", "--remount-ro", "/", "--",
    ]  # fmt: skip
