"""What is trained, on what, how?    conf/training/*.yaml, --set -> TrainingConfig

A stage is a stretch of steps with one context length. Everything that decides which tokens a step sees is in
`data`, `seed` and the stages; what may differ between two starts of one run (offload, intervals) is elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from etl.config import Config, read_values, validated
from etl.errors import ConfigError
from etl.pack.tokenizer import VOCABULARY
from training.batches import FimConfig


class ModelConfig(Config):
    """Starcoder2's shape. Source: StarCoder 2, section 6; model cards and NeMo's recipes of 3B, 7B, 15B."""

    layers: int = Field(ge=1)
    hidden: int = Field(ge=8, description="width of the residual stream")
    feed_forward: int = Field(ge=8, description="width inside the MLP; 4 times hidden")
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1, description="heads of keys and values, shared by groups of heads")
    vocabulary: int = Field(default=VOCABULARY, ge=64, le=1 << 16)
    initializer_range: float = Field(
        gt=0, description="standard deviation of weights; 1/sqrt(hidden)"
    )
    norm_epsilon: float = Field(default=1e-5, gt=0)
    tied_embeddings: bool = Field(default=True, description="one matrix reads and says tokens")

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(
                f"hidden = {self.hidden}, heads = {self.heads}: expected an even width a head"
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads = {self.kv_heads}: expected a divisor of heads = {self.heads}"
            )
        return self


class StageConfig(Config):
    name: str = Field(min_length=1)
    steps: int = Field(ge=1)
    sequence_length: int = Field(ge=8, description="tokens of a sequence: the context")
    sequences_per_batch: int = Field(ge=1, description="of all ranks in a step")
    sequences_per_rank: int = Field(
        ge=1, description="at a time; a rank's share of the batch is read in so many pieces"
    )
    rope_base: float = Field(default=1e5, gt=1)
    sliding_window: int | None = Field(
        default=None, ge=1, description="tokens that a token attends to"
    )
    learning_rate: float = Field(default=3e-4, gt=0, description="at its peak")
    final_learning_rate: float = Field(default=3e-5, ge=0, description="at the stage's end")
    warmup_steps: int = Field(default=1000, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> StageConfig:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps}: expected fewer than steps = {self.steps}"
            )
        return self


class SourceConfig(Config):
    name: str = Field(default="corpus", min_length=1)
    lake: str = Field(description="folder that `stackmill pack` has packed")
    weight: float = Field(default=1.0, gt=0, description="share of sequences, beside the others'")
    epochs: float = Field(default=5.0, gt=0, description="reading further is an error")


class DataConfig(Config):
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    tokenizer: str | None = Field(
        default=None, description="folder; default: tokenizer in the first source's lake"
    )
    fim: FimConfig = FimConfig()
    verify: bool = Field(default=False, description="read every shard and check its digest first")


class OptimizerConfig(Config):
    """AdamW. Source: StarCoder 2, section 6."""

    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0, description="of matrices; not of biases, norms")
    max_gradient_norm: float = Field(default=1.0, gt=0, description="clipped to it")


class ZeroConfig(Config):
    precision: Literal["auto", "bf16", "fp32"] = Field(
        default="auto", description="auto: bf16 on a GPU, fp32 on a CPU"
    )
    offload_optimizer: bool = Field(default=False, description="its states in the CPU's memory")
    offload_parameters: bool = Field(default=False, description="parameters in the CPU's memory")
    activation_checkpointing: bool = Field(
        default=False, description="compute a layer's activations again in its backward pass"
    )
    bucket_elements: int = Field(
        default=200_000_000, ge=1000, description="gradients reduced at once"
    )
    prefetch_elements: int = Field(
        default=50_000_000, ge=0, description="parameters gathered ahead of their use"
    )
    live_parameters: int = Field(
        default=1_000_000_000, ge=0, description="gathered at the same time at most"
    )
    persistent_elements: int = Field(
        default=100_000, ge=0, description="smaller parameters stay on every rank"
    )
    timeout_s: int = Field(
        default=1800, ge=1, description="for other ranks, before the job is given up"
    )


class CheckpointConfig(Config):
    every_steps: int = Field(default=1000, ge=1)
    keep_last: int = Field(default=2, ge=1)
    keep_every_steps: int | None = Field(
        default=None, ge=1, description="checkpoints of its multiples are never pruned"
    )


class ValidationConfig(Config):
    every_steps: int = Field(default=1000, ge=1)
    max_tokens: int = Field(
        default=4_000_000, ge=1, description="of each source, spread evenly over its split"
    )
    sequences_per_rank: int = Field(default=1, ge=1, description="at a time")


class GuardConfig(Config):
    """A step whose loss is no number, or leaps, changes no weight."""

    window: int = Field(default=128, ge=8, description="steps that a loss is compared with")
    deviations: float = Field(
        default=6.0, gt=0, description="standard deviations above their mean that are a spike"
    )
    max_skipped: int = Field(default=10, ge=1, description="steps in a row before training ends")


class TrackingConfig(Config):
    tracking_uri: str | None = Field(
        default=None,
        description="MLflow server or store; default: MLFLOW_TRACKING_URI, else sqlite beside the lake",
    )
    study: str = Field(default="stackmill-training", description="MLflow experiment")
    run_name: str | None = None
    log_every_steps: int = Field(default=10, ge=1)
    registered_model: str | None = Field(
        default=None, description="name in the registry that the export becomes a version of"
    )
    upload_export: bool = Field(default=False, description="its files as artifacts of the run too")
    patience_s: int = Field(
        default=60, ge=0, description="wait at the end for a server that does not answer"
    )

    @model_validator(mode="after")
    def _is_uploaded(self) -> TrackingConfig:
        if self.registered_model is not None and not self.upload_export:
            raise ValueError("registered_model: expected upload_export: true beside it")
        return self


class SampleConfig(Config):
    """Text that the model goes on with when it is done, for a person to look at."""

    prompts: tuple[str, ...] = ()
    max_new_tokens: int = Field(default=128, ge=1)


class RunConfig(Config):
    """What any training has: a model, stages, and how it is spread, kept and tracked."""

    program: ClassVar[str]  # what `python -m` starts

    output: str = Field(description="folder of checkpoints, journal and export")
    seed: int = Field(default=1, ge=0, lt=1 << 31)
    model: ModelConfig
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    optimizer: OptimizerConfig = OptimizerConfig()
    zero: ZeroConfig = ZeroConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    validation: ValidationConfig = ValidationConfig()
    guard: GuardConfig = GuardConfig()
    tracking: TrackingConfig = TrackingConfig()
    sample: SampleConfig = SampleConfig()

    @property
    def total_steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def tokenizer_folder(self) -> Path:
        raise NotImplementedError

    @property
    def store_folder(self) -> Path:
        """Where MLflow's store lies by default."""
        return Path(self.output).absolute().parent


class TrainingConfig(RunConfig):
    program: ClassVar[str] = "training.pretrain"

    data: DataConfig

    @property
    def tokenizer_folder(self) -> Path:
        return Path(self.data.tokenizer or Path(self.data.sources[0].lake) / "tokenizer")

    @property
    def store_folder(self) -> Path:
        return Path(self.data.sources[0].lake).absolute().parent


class ChatConfig(Config):
    files: tuple[str, ...] = Field(
        min_length=1, description="Parquet or JSON Lines with a column `messages` of role, content"
    )
    epochs: float = Field(default=3.0, gt=0, description="reading further is an error")
    validation_share: float = Field(
        default=0.02, ge=0, lt=1, description="of conversations, by their hash; not trained on"
    )


class FinetuneConfig(RunConfig):
    """Its model is that of `base`; so are RoPE's base and the window, where a stage does not say."""

    program: ClassVar[str] = "training.finetune"

    base: str = Field(description="folder of an export")
    chat: ChatConfig

    @property
    def tokenizer_folder(self) -> Path:
        return Path(self.base)


RESOLVED = "config.json"  # in the output folder


def load_resolved(output: Path) -> RunConfig:
    """As a run has left it in its output folder."""
    path = output / RESOLVED
    values = read_values(str(path), [])
    kind: type[RunConfig] = FinetuneConfig if "chat" in values else TrainingConfig
    return validated(kind, values, str(path))


def load(path: str, settings: list[str]) -> TrainingConfig:
    """Raises ConfigError, one line a wrong key."""
    return validated(TrainingConfig, read_values(path, settings), path)


def load_finetune(path: str, settings: list[str]) -> FinetuneConfig:
    """With the shape of the base model. Raises ConfigError, one line a wrong key."""
    values = read_values(path, settings)
    base = Path(str(values.get("base", ""))) / "config.json"
    if "model" in values:
        raise ConfigError(f"{path}: model: expected nothing, found a shape: it is that of base")
    try:
        shape = json.loads(base.read_text("utf-8"))
        values["model"] = {
            "layers": shape["num_hidden_layers"],
            "hidden": shape["hidden_size"],
            "feed_forward": shape["intermediate_size"],
            "heads": shape["num_attention_heads"],
            "kv_heads": shape["num_key_value_heads"],
            "vocabulary": shape["vocab_size"],
            "initializer_range": shape["initializer_range"],
            "norm_epsilon": shape["norm_epsilon"],
            "tied_embeddings": shape["tie_word_embeddings"],
        }
        context = {
            "rope_base": shape["rope_parameters"]["rope_theta"],
            "sliding_window": shape["sliding_window"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{base}: expected the configuration of a Starcoder2 model, found none: set base to an export"
        ) from None
    stages = values.get("stages")
    if isinstance(stages, list):
        values["stages"] = [
            {**context, **stage} if isinstance(stage, dict) else stage for stage in stages
        ]
    return validated(FinetuneConfig, values, path)
