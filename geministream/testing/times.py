"""Timestamps and durations in the spelling of protobuf JSON."""

from __future__ import annotations

import datetime
import re
import time


def timestamp(seconds: float) -> str:
    """RFC 3339 for seconds since 1970, such as "2026-01-01T00:00:00.000000Z"."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}Z"


def parse_timestamp(text: str) -> float:
    """The seconds since 1970 of an RFC 3339 timestamp; ValueError for any other text."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|([+-]\d\d:\d\d))$", text)
    if not match:
        raise ValueError(f"{text!r} is not a valid timestamp")
    whole, fraction, offset = match.groups()
    return datetime.datetime.fromisoformat(whole + (offset or "+00:00")).timestamp() + float(fraction or 0)


def parse_duration(text: str) -> float:
    """The seconds of a duration such as "300s" or "3.5s"; ValueError for any other text."""
    match = re.match(r"(\d{1,9}(?:\.\d{1,9})?)s$", text)
    if not match:
        raise ValueError(f"{text!r} is not a valid duration")
    return float(match.group(1))
