"""What does the model write?    export, prompts -> text, for a person to look at"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from etl.pack.tokenizer import END, FILE_SEP
from training.config import SampleConfig


def write_samples(export: Path, config: SampleConfig, seed: int) -> str:
    """Markdown: each prompt, as the beginning of a file, and how it goes on. The same for the same seed."""
    if not config.prompts:
        return ""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(export)
    model: Any = AutoModelForCausalLM.from_pretrained(export)
    model.eval()
    parts = []
    for number, prompt in enumerate(config.prompts):
        tokens = [FILE_SEP, *tokenizer.encode(prompt, add_special_tokens=False)]
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed + number)
            found = model.generate(
                torch.tensor([tokens]),
                attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
                max_new_tokens=config.max_new_tokens,
                do_sample=True,
                temperature=0.6,
                top_p=0.95,
                eos_token_id=[END, FILE_SEP],
            )
        text = tokenizer.decode(found[0, 1:], skip_special_tokens=True)
        parts.append(f"## Sample {number + 1}\n\n````\n{text}\n````\n")
    return "\n".join(parts)
