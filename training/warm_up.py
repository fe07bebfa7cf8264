"""Compiles what training needs, once, so that no run waits for it: DeepSpeed's exchange between ranks of a CPU."""

from __future__ import annotations

import logging
import sys

from training.ranks import joined


def main() -> int:
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    with joined(timeout_s=600) as rank:
        rank.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
