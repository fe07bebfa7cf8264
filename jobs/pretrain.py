"""spark-submit: train a model, its ranks started by Spark.

spark-submit jobs/pretrain.py --conf conf/training/smoke.yaml --ranks 2          on the driver's machine
spark-submit jobs/pretrain.py --conf conf/training/3b.yaml --ranks 8 --nodes 4   on executors, in barrier mode

The code is that of `python -m training.pretrain`; only here Spark is spoken to. Folders must be seen by all ranks.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from etl.config import dump
from training.config import TrainingConfig, load
from training.pretrain import parser, run_values
from training.run import exit_code, start_logging

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("jobs/pretrain.py")
    flags.add_argument("--ranks", type=int, default=1, help="processes, or GPUs, of a node")
    flags.add_argument(
        "--nodes", type=int, help="executors that ranks run on; default: the driver's machine"
    )
    given = flags.parse_args(argv)
    start_logging()
    try:
        config = _at_absolute_paths(load(given.conf, given.settings))
        if given.dry_run:
            sys.stdout.write(json.dumps(dump(config), indent=2) + "\n")
            return 0
        _distribute(config, given.ranks, given.nodes)
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


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


def _at_absolute_paths(config: TrainingConfig) -> TrainingConfig:
    """Ranks have working directories of their own."""
    values = dump(config)
    values["output"] = str(Path(config.output).absolute())
    values["data"]["tokenizer"] = str(config.tokenizer_folder.absolute())
    for source in values["data"]["sources"]:
        source["lake"] = str(Path(source["lake"]).absolute())
    return TrainingConfig.model_validate(values)


if __name__ == "__main__":
    sys.exit(main())
