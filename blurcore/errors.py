"""Errors of the package; each is also the built-in exception that fits, so callers may catch either."""


class BlurcoreError(Exception):
    """Base of every error that blurcore raises on purpose."""


class ArgumentError(BlurcoreError, ValueError):
    """An argument has a value that makes no sense; the message names it, the value and what would be right."""


class NamespaceError(BlurcoreError, TypeError):
    """Arguments that must be arrays of one library, dtype or device are not."""


class NotMarkovError(BlurcoreError, ValueError):
    """The log-SNR of some frequency increases with time, so that no Gaussian chain has these marginals (SPEC 2)."""


class DegenerateError(BlurcoreError, ValueError):
    """A quantity is undefined because alpha or sigma is zero where the formula divides by it."""


class ConfigError(BlurcoreError, ValueError):
    """A configuration file or flag has an unknown key, or a value of the wrong type or range."""


class DataError(BlurcoreError, ValueError):
    """A data set is missing, empty, unreadable or of the wrong shape."""


class UnreadableDataError(DataError):
    """Data that a run counts on cannot be read: they went away meanwhile, or some are damaged and none may be left out."""


class OutputError(DataError):
    """A picture or a film cannot be written: the settings made sense, the disk is full or the folder has gone."""


class NotFiniteError(BlurcoreError, ArithmeticError):
    """A run's samples or results are not finite."""


class CheckpointError(BlurcoreError, RuntimeError):
    """A checkpoint is missing, damaged, belongs to another configuration, or it or its run cannot be written."""


class BackendError(BlurcoreError, ImportError):
    """A backend is unknown, or declared but not importable; the message says what to install."""


class RunStoppedError(BlurcoreError, RuntimeError):
    """A run ended before its last step, with a checkpoint written: by a signal, or by numbers that are not finite.

    Attributes
    ----------
    exit_code
        What the command line exits with: 129 after SIGHUP, 130 after SIGINT, 143 after SIGTERM, 3 for non-finite numbers.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
