"""What does the model write?    prompts -> completions, in batches

Prompts are sorted by their length and padded on the left; a batch ends when each of its rows has a stop
sequence or an end. The same seed, batch size and device give the same completions.

B rows of a batch, T tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    StoppingCriteria,
    StoppingCriteriaList,
)

from etl.config import Config
from etl.errors import ConfigError
from training.score.task import cut

logger = logging.getLogger(__name__)

CHECK_EVERY = 8  # tokens between two looks for stop sequences


class GenerateConfig(Config):
    samples: int = Field(default=1, ge=1, description="completions a problem")
    temperature: float = Field(
        default=0.2, ge=0, le=2, description="0: the likeliest token; all samples are then the same"
    )
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: int = Field(default=512, ge=1)
    batch_size: int = Field(default=32, ge=1, description="completions at a time")
    seed: int = Field(default=1, ge=0)


class Generator:
    """A model directory in transformers' form, loaded once."""

    def __init__(self, folder: Path, config: GenerateConfig) -> None:
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"{folder}: expected a model directory in transformers' form, found no config.json: give the "
                "folder of an export"
            )
        self.config = config
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16 if self.device == "cuda" else torch.float32
        )
        self.model = model.to(self.device).eval()
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def completions(self, prompts: Sequence[str], stops: tuple[str, ...]) -> list[list[str]]:
        """`samples` completions of each prompt, cut at the stops."""
        found: list[list[str]] = [[] for _ in prompts]
        lengths = [len(self.tokenizer(prompt).input_ids) for prompt in prompts]
        jobs = [number for number in range(len(prompts)) for _ in range(self.config.samples)]
        jobs.sort(key=lambda number: -lengths[number])  # what needs the most memory comes first
        torch.manual_seed(self.config.seed)
        for start in range(0, len(jobs), self.config.batch_size):
            batch = jobs[start : start + self.config.batch_size]
            texts = self._batch([prompts[number] for number in batch], stops)
            for number, text in zip(batch, texts, strict=True):
                found[number].append(text)
            logger.info("generate: %d of %d completions", start + len(batch), len(jobs))
        return found

    @torch.inference_mode()
    def _batch(self, prompts: list[str], stops: tuple[str, ...]) -> Iterator[str]:
        config = self.config
        encoded = self.tokenizer(
            prompts, return_tensors="pt", padding=True, return_token_type_ids=False
        ).to(self.device)
        width = encoded.input_ids.shape[1]
        room = self.model.config.max_position_embeddings - width
        if room < 1:
            raise ConfigError(
                f"prompt of {width} tokens: expected fewer than the model's context of "
                f"{self.model.config.max_position_embeddings}: score a model of a longer context"
            )
        drawn = {"do_sample": False} if config.temperature == 0 else {
            "do_sample": True, "temperature": config.temperature, "top_p": config.top_p, "top_k": 0,
        }  # fmt: skip
        tokens_BT = self.model.generate(
            **encoded,
            **drawn,
            max_new_tokens=min(config.max_new_tokens, room),
            eos_token_id=self.tokenizer.all_special_ids,  # a sentinel ends a text as well
            pad_token_id=self.tokenizer.pad_token_id,
            stopping_criteria=StoppingCriteriaList([_Stops(self.tokenizer, width, stops)]),
        )
        texts = self.tokenizer.batch_decode(
            tokens_BT[:, width:], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return (cut(text, stops) for text in texts)


class _Stops(StoppingCriteria):
    """A row is done when a stop sequence stands in what follows its prompt."""

    def __init__(self, tokenizer: Any, width: int, stops: tuple[str, ...]) -> None:
        self.tokenizer, self.width, self.stops = tokenizer, width, stops
        self.is_done_B: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if self.is_done_B is None:
            self.is_done_B = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        if (input_ids.shape[1] - self.width) % CHECK_EVERY == 0:
            texts = self.tokenizer.batch_decode(input_ids[:, self.width :])
            has_stop = [any(stop in text for stop in self.stops) for text in texts]
            self.is_done_B |= torch.tensor(has_stop, device=input_ids.device)
        return self.is_done_B
