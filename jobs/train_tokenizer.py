"""spark-submit: which tokens is the corpus made of?

stackmill train_tokenizer --conf conf/demo.yaml
"""

import sys
from collections.abc import Sequence

from etl.pack.stage import TOKENIZER_STAGE
from jobs.runner import main_of


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(TOKENIZER_STAGE, argv)


if __name__ == "__main__":
    sys.exit(main())
