"""Malformed input raises ConfigError, in bounded time and memory."""

import resource
import time
from typing import Any

import pytest

import sefactory as sf

SECONDS = 5
KIBIBYTES = 2**20


def error_message(config: Any, channels: int = 64, **options: Any) -> str:
    """Returns the message of the ConfigError of build. Another exception, or too much CPU time or memory, fails the test."""
    start, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(sf.ConfigError) as caught:
        sf.build(config, channels, **options)
    message = str(caught.value)
    assert message and len(message) < 4000
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < KIBIBYTES
    return message
