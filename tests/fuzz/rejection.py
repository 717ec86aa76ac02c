"""How hostile input is tried: refused by ConfigError, soon and in bounded memory."""

import resource
import time
from typing import Any

import pytest

import sefactory as sf

SECONDS = 5
KIBIBYTES = 2**20


def refusal(config: Any, channels: int = 64, **options: Any) -> str:
    """The message of build; anything but ConfigError, or more than a bound of processor time or memory, fails the test."""
    start, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(sf.ConfigError) as caught:
        sf.build(config, channels, **options)
    message = str(caught.value)
    assert message and len(message) < 4000
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < KIBIBYTES
    return message
