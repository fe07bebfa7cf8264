"""How often is one of k samples right?    correct of n samples a problem -> pass@k

Unbiased: the share of the k-subsets of a problem's n samples that hold a correct one, 1 - C(n-c, k) / C(n, k).

Source: Chen et al., "Evaluating Large Language Models Trained on Code", 2021, section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Of one problem; k is at most `num_samples`."""
    if num_samples - num_correct < k:
        return 1.0
    numbers = np.arange(num_samples - num_correct + 1, num_samples + 1)
    return 1.0 - float(np.prod(1.0 - k / numbers))


def mean_pass_at_k(num_samples: int, num_correct: Sequence[int], k: int) -> float:
    return float(np.mean([pass_at_k(num_samples, correct, k) for correct in num_correct]))
