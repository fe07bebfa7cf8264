"""spark-submit: train a model, its ranks started by Spark.

spark-submit jobs/pretrain.py --conf conf/training/smoke.yaml --ranks 2          on the driver's machine
spark-submit jobs/pretrain.py --conf conf/training/3b.yaml --ranks 8 --nodes 4   on executors, in barrier mode

The code is that of `python -m training.pretrain`; only here Spark is spoken to. Folders must be seen by all ranks.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from etl.config import dump
from training.config import TrainingConfig, load
from training.pretrain import run_values
from training.run import main_of, parser, start_logging

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("jobs/pretrain.py")
    flags.add_argument("--ranks", type=int, default=1, help="processes, or GPUs, of a node")
    flags.add_argument(
        "--nodes", type=int, help="executors that ranks run on; default: the driver's machine"
    )
    start_logging()
    return main_of(
        flags, _load, lambda config, given: _distribute(config, given.ranks, given.nodes), argv
    )


def _distribute(config: TrainingConfig, ranks: int, nodes: int | None) -> None:
    import torch
    from pyspark.ml.deepspeed.deepspeed_distributor import DeepspeedTorchDistributor
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("pretrain").getOrCreate()
    distributor = DeepspeedTorchDistributor(
        numGpus=ranks, nnodes=nodes or 1, localMode=nodes is None,
        useGpu=torch.cuda.is_available(),
    )  # fmt: skip
    try:
        distributor.run(run_values, dump(config))
    finally:
        session.stop()


def _load(path: str, settings: list[str]) -> TrainingConfig:
    """With absolute paths: ranks have working directories of their own."""
    config = load(path, settings)
    values = dump(config)
    values["output"] = str(Path(config.output).absolute())
    values["data"]["tokenizer"] = str(config.tokenizer_folder.absolute())
    for source in values["data"]["sources"]:
        source["lake"] = str(Path(source["lake"]).absolute())
    return TrainingConfig.model_validate(values)


if __name__ == "__main__":
    sys.exit(main())
