"""The frozen base of every configuration section."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Frozen; an unknown key is an error; defaults are the values that the demo runs with."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def beside(self) -> str:
        """What the outcome depends on that is in no file, such as a digest of a key."""
        return ""
