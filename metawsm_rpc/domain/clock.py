"""Time as metawsm keeps it: seconds since the epoch inside, RFC 3339 text at every edge."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Clock = Callable[[], float]
"""Returns the current time in seconds since the epoch."""


def timestamp(seconds: float) -> str:
    """Return RFC 3339 text in UTC with milliseconds, such as `2026-01-02T03:04:05.678Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=4096)  # a sweep parses the timestamps of every agent, and they seldom change
def seconds(text: str) -> float:
    """Return the seconds since the epoch of RFC 3339 text."""
    return datetime.fromisoformat(text).timestamp()
