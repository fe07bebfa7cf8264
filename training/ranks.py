"""Which rank is this, of how many, on which device?    environment -> Rank; and what ranks say to one another

torchrun, deepspeed and Spark's distributor set RANK, WORLD_SIZE and LOCAL_RANK; without them this is the only rank.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from etl.errors import ConfigError, StackmillError, TrainingError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rank:
    number: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.number == 0

    def total(self, values: list[float]) -> list[float]:
        """Sums over all ranks, in float64; every rank gets the same."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor.tolist()]

    def total_ints(self, values: list[int]) -> list[int]:
        """Sums over all ranks modulo 2^64, as signed."""
        tensor = torch.tensor(values, dtype=torch.int64, device=self.device)
        dist.all_reduce(tensor)
        return [int(value) for value in tensor.tolist()]

    def agree(self, failure: str) -> str:
        """The first rank's failure that is not empty, on all ranks; empty where all went well."""
        found: list[str] = [""] * self.count
        dist.all_gather_object(found, failure)
        return next(filter(None, found), "")

    def wait(self) -> None:
        dist.barrier()


@contextlib.contextmanager
def joined(timeout_s: int) -> Iterator[Rank]:
    """This process as a rank among the others, until the block ends."""
    number, count = (int(os.environ.get(name, default)) for name, default in _DEFAULTS)
    local = int(os.environ.get("LOCAL_RANK", number))
    if torch.cuda.is_available():
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(count), "LOCAL_RANK": str(local)}
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    if "MASTER_PORT" not in os.environ:
        if count > 1:
            raise ConfigError(
                f"MASTER_PORT: expected the port of rank 0, found nothing for {count} ranks: start with torchrun"
            )
        os.environ["MASTER_PORT"] = str(_free_port())
    # DeepSpeed compiles what it needs with ninja, which lies beside this Python
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    import deepspeed

    # Two minutes of compiling for an exchange that only its inference uses
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(
        dist_backend="nccl" if device.type == "cuda" else "gloo",
        timeout=dt.timedelta(seconds=timeout_s),
        verbose=False,
    )
    try:
        yield Rank(number, count, device)
    except (StackmillError, KeyboardInterrupt):
        raise
    except RuntimeError as error:
        if not _is_of_others(error):
            raise
        raise TrainingError(
            f"rank {number}: expected all {count} ranks to answer, found one gone: look for the first error in "
            "its log. The job ends; start it again and it goes on from its last checkpoint"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


_DEFAULTS = (("RANK", "0"), ("WORLD_SIZE", "1"))


def _is_of_others(error: RuntimeError) -> bool:
    """Whether a collective failed, as it does when a rank has died."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error)
    return any(part in text for part in ("gloo", "Connection closed by peer", "NCCL"))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
