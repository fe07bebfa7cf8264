"""What is configured?    YAML file, --set -> a frozen model of pydantic

A message names the file, the key, what was found and what is expected.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from etl.errors import ConfigError


class Config(BaseModel):
    """Frozen; an unknown key is an error; defaults are the values that the demo runs with."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def beside(self) -> str:
        """What the outcome depends on that is in no file, such as a digest of a key."""
        return ""


AnyConfig = TypeVar("AnyConfig", bound=Config)


def read_values(path: str | None, settings: list[str]) -> dict[str, Any]:
    """The file's values, with each `section.key=value` of `settings` put in its place."""
    values = _read(path) if path is not None else {}
    for setting in settings:
        _set(values, setting)
    return values


def validated(model: type[AnyConfig], values: dict[str, Any], where: str) -> AnyConfig:
    """Raises ConfigError, one line a wrong key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_line(model, where, detail) for detail in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def dump(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json")


def digest(config: Config) -> str:
    """SHA-256 of the section, keys in their own order where the order says something."""
    return hashlib.sha256((json.dumps(dump(config)) + config.beside()).encode()).hexdigest()


def _read(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: expected a readable YAML file: {type(error).__name__}: check --conf"
        ) from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}:{line} not YAML: mend its syntax") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections (a mapping), found {type(values).__name__}")
    return values


def _set(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {setting}: expected section.key=value")
    *parents, last = key.split(".")
    inner: Any = values
    for parent in parents:
        inner = _child(inner, parent, setting)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: expected a YAML value: quote it") from None
    if isinstance(inner, list):
        inner[_index(inner, last, setting)] = value
    else:
        inner[last] = value


def _child(inner: Any, name: str, setting: str) -> Any:
    listed = isinstance(inner, list)
    child = inner[_index(inner, name, setting)] if listed else inner.setdefault(name, {})
    if not isinstance(child, dict | list):
        raise ConfigError(f"--set {setting}: {name} is a value, not a section")
    return child


def _index(items: list[Any], name: str, setting: str) -> int:
    if not name.isdigit() or int(name) >= len(items):
        raise ConfigError(
            f"--set {setting}: expected a place from 0 to {len(items) - 1}, found {name}"
        )
    return int(name)


def _line(model: type[Config], where: str, detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = _keys_at(model, detail["loc"][:-1])
        return f"{where}: {key}: unknown key: expected one of {', '.join(known)}"
    if detail["type"] == "missing":
        return f"{where}: {key}: expected a value, found nothing"
    message = detail["msg"].removeprefix("Input ").removeprefix("Value error, ")
    if not key:  # of the configuration as a whole: the message names the keys
        return f"{where}: {message}"
    found = json.dumps(detail["input"], default=str)
    return f"{where}: {key} = {found[:200]}: {message}"


def _keys_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """The keys that are known in a section."""
    for part in (part for part in location if isinstance(part, str)):
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return ["those of the documentation"]
        model = fields[part].annotation
        if not hasattr(model, "model_fields") and hasattr(model, "__args__"):
            model = model.__args__[0]
    return sorted(getattr(model, "model_fields", {"those of the documentation": None}))
