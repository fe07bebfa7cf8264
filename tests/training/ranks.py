"""Ranks on loopback, forked from one process that has torch and DeepSpeed loaded: a start costs a tenth of a second."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

PRELOAD = ["deepspeed", "mlflow", "training.pretrain", "training.finetune", "tests.training.jobs"]
WAIT_S = 180

os.environ |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(PRELOAD)


class Ranks:
    """So many processes that run `function(*arguments)`."""

    def __init__(self, count: int, function: Callable[..., Any], *arguments: Any) -> None:
        self.answers: Any = _CONTEXT.Queue()
        port = _free_port()
        self.processes: list[BaseProcess] = [
            _CONTEXT.Process(
                target=_rank, args=(rank, count, port, self.answers, function, arguments)
            )
            for rank in range(count)
        ]
        for process in self.processes:
            process.start()

    def wait(self) -> list[Any]:
        """What each rank returned, or the text of what it raised."""
        found = dict(self.answers.get(timeout=WAIT_S) for _ in self.processes)
        for process in self.processes:
            process.join(WAIT_S)
        return [found[rank] for rank in range(len(self.processes))]

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.join(WAIT_S)


def launch(count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    return Ranks(count, function, *arguments).wait()


def _rank(
    rank: int, count: int, port: int, answers: Any, function: Callable[..., Any], arguments: Any
) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    import torch

    torch.set_num_threads(1)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            found = function(*arguments)
    except Exception as error:  # noqa: BLE001  the test sees it
        found = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    answers.put((rank, found))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
