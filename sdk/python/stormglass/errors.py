"""Why a plugin could not do what it was asked."""

from __future__ import annotations


class PluginError(Exception):
    """Raise this to say what failed, and whether the same call may succeed later.

    The server retries only what is retryable; `retry_after_ms` is the earliest moment worth it. Any other
    exception counts as retryable, and the server shows its traceback.
    """

    def __init__(self, message: str, *, retryable: bool = False, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
