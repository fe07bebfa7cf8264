"""The errors of Stackmill. A message says what was expected, what was found, where, and what to do."""


class StackmillError(Exception):
    """Any failure with a known cause. `exit_code` is what the process ends with."""

    exit_code = 1


class ConfigError(StackmillError):
    """A configuration file, a flag or a source location is wrong: nothing was read or written."""

    exit_code = 2


class ContractError(StackmillError):
    """A table is not what `etl.tables` says it is."""

    exit_code = 3


class SourceError(StackmillError):
    """A source as a whole cannot be read. One unreadable file in it is a row, not an exception."""


class TrainingError(StackmillError):
    """Training cannot go on."""
