"""Programs that mean harm end as failed, and nothing of them is left."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.errors import ConfigError
from training.score import sandbox
from training.score.sandbox import ENDED, PASSED, TIMED_OUT, SandboxConfig

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed"
)

CONFIG = SandboxConfig(timeout_s=60, memory_bytes=256 << 20, file_bytes=1 << 20)


def result(source: str, config: SandboxConfig = CONFIG) -> str:
    return sandbox.run(source, config).result


@pytest.fixture(params=["sealed", "unsafe"])
def config(request: pytest.FixtureRequest) -> SandboxConfig:
    if request.param == "sealed" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    return CONFIG.model_copy(update={"unsafe": request.param == "unsafe"})


@pytest.fixture
def listener() -> Iterator[int]:
    """A port of this machine that would answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]


def _answer(server: socket.socket) -> None:
    try:
        connection, _ = server.accept()
        connection.close()
    except OSError:
        return


def test_a_program_passes_if_it_ends_without_an_error(config: SandboxConfig) -> None:
    assert result("assert 1 + 1 == 2", config) == PASSED
    assert result("print('x' * 10**7)\nimport sys; print('y', file=sys.stderr)", config) == PASSED
    assert result("import threading, re, math, collections, hashlib", config) == PASSED
    assert result("assert __name__ == '__main__'", config) == PASSED


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("assert 1 + 1 == 3", "raised AssertionError"),
        ("def f(:", "raised SyntaxError"),
        ("\0", "raised SyntaxError"),
        ("class passed(Exception): pass\nraise passed", "raised passed"),
        ("raise SystemExit(0)", "raised SystemExit"),
        ("import os\nos._exit(0)", ENDED),
        ("import os\nos.write(1, b'passed'); os.write(3, b'passed'); os._exit(0)", "raised passed"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", ENDED),
        ("input()", "raised EOFError"),
    ],
)
def test_every_other_end_is_a_failure(source: str, expected: str, config: SandboxConfig) -> None:
    assert result(source, config) == expected


def _elsewhere() -> set[int]:
    """Processes in another namespace than this one's."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns" / "pid").readlink() != Path("/proc/self/ns/pid").readlink():
                found.add(int(process.name))
        except OSError:
            continue
    return found


def _ends(before: set[int]) -> bool:
    """Whether what was started since is gone: the kernel ends a namespace a moment after its first process."""
    for _ in range(100):
        if _elsewhere() <= before:
            return True
        time.sleep(0.1)
    return False


def test_an_endless_loop_and_a_sleep_are_cut_off(config: SandboxConfig) -> None:
    short = config.model_copy(update={"timeout_s": 1})
    before = _elsewhere()
    for source in ("while True: pass", "import time\ntime.sleep(600)"):
        outcome = sandbox.run(source, short)
        assert outcome.result == TIMED_OUT
        assert outcome.elapsed_s < 60
    assert _ends(before)


def test_memory_is_bounded(config: SandboxConfig) -> None:
    assert result("x = bytearray(1 << 30)", config) == "raised MemoryError"
    assert (
        result("x = []\nwhile True: x.append(bytearray(1 << 20))", config) == "raised MemoryError"
    )


def test_no_process_can_be_started_but_threads_can(config: SandboxConfig) -> None:
    """A fork bomb has nothing to begin with, and nothing can outlive the program."""
    assert result("import os\nos.fork()", config) == "raised PermissionError"
    for start in ("subprocess.run(['/usr/bin/id'])", "os.posix_spawn('/usr/bin/id', ['id'], {})"):
        assert result(f"import os, subprocess\n{start}", config) == "raised PermissionError"
    caught = (
        "import os\nfor _ in range(1000):\n    try:\n        os.fork()\n    except OSError: pass"
    )
    assert result(caught, config) == PASSED
    thread = (
        "import threading\nthread = threading.Thread(target=print)\nthread.start(); thread.join()"
    )
    assert result(thread, config) == PASSED
    threads = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()"
    assert result(threads, config).startswith("raised ")


@needs_bwrap
def test_no_file_of_the_machine_is_seen_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKMILL_SECRET", "s")
    secret = tmp_path / "secret"
    secret.write_text("s")
    home = Path.home()
    for path in (secret, Path(__file__), "/etc/passwd", "/root", home, "/var"):
        assert result(f"open({str(path)!r}).read()") != PASSED, path
    for path in ("/usr/x", "/x", "/dev/x", "/dev/shm/x", "/proc/x", f"{os.getcwd()}/x"):
        assert result(f"open({path!r}, 'w').write('x')") != PASSED, path
    assert result("open('/tmp/x', 'w').write('x'); assert open('x').read() == 'x'") == PASSED
    assert not Path("/tmp/x").exists() or Path("/tmp/x").read_text() != "x"
    for place in ("self", "1"):
        environment = f"open('/proc/{place}/environ').read()"
        assert result(f"found = {environment}\nassert 'SECRET' not in found") == PASSED


@needs_bwrap
def test_what_is_written_is_bounded() -> None:
    assert result("open('x', 'wb').write(bytes(2 << 20))") != PASSED
    many = "for i in range(64):\n    open(str(i), 'wb').write(bytes(1 << 19))"
    assert result(many) == "raised OSError"


@needs_bwrap
def test_there_is_no_network(listener: int) -> None:
    connect = f"import socket\nsocket.create_connection(('127.0.0.1', {listener}), 1)"
    assert result(connect, CONFIG.model_copy(update={"unsafe": True})) == PASSED  # it would answer
    assert result(connect).startswith("raised ")


@needs_bwrap
def test_no_capability_and_no_way_to_be_another_user() -> None:
    assert result("import os\nassert os.getuid() == 65534") == PASSED
    assert result("import os\nos.setuid(0)").startswith("raised ")
    mount = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "assert libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0"
    )
    assert result(mount) != PASSED


def test_without_bubblewrap_nothing_runs_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"expected bubblewrap on PATH.*--unsafe"):
        sandbox.check(CONFIG)
    sandbox.check(CONFIG.model_copy(update={"unsafe": True}))


def test_a_bubblewrap_that_does_not_work_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConfigError, match="user namespaces"):
        sandbox.check(CONFIG)
