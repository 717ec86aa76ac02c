"""The allocator keeps what a block frees, but for other settings of the user."""

import json
import os
import platform
import subprocess
import sys
from typing import Any

import pytest

from sefactory.bench import allocator

FAULTS = """
import ctypes, json, resource, sys
from sefactory.bench.allocator import keep_freed_memory
answer = keep_freed_memory() if sys.argv[1] == "keep" else "default"
import torch
def faults(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(megabytes, 2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([answer, *([faults(4), faults(64)] for _ in range(12))]))
"""
is_glibc = platform.libc_ver()[0] == "glibc"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name in ("GLIBC_TUNABLES", "LD_PRELOAD")]:
        monkeypatch.delenv(name)


@pytest.mark.skipif(not is_glibc, reason="another C library has no such setting")
def test_freed_memory_is_used_again() -> None:
    def run(how: str) -> list[Any]:
        run = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True)
        return json.loads(run.stdout)  # type: ignore[no-any-return]

    answer, first, *_, last = run("keep")
    assert answer == "keeps freed memory" and first[1] > 1000 and max(last) < 100
    assert run("default")[-1][1] > 1000  # new pages each time


RESIDENT = """
import json, torch
from sefactory.bench import machine
from sefactory.bench.allocator import keep_freed_memory
keep_freed_memory()
machine.COPY_BYTES = 2**26
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
machine.measure_machine(machine.Options())
print(json.dumps([before, resident()]))
"""


@pytest.mark.skipif(not is_glibc, reason="another C library has no such setting")
def test_the_memory_of_the_rates_is_returned() -> None:
    run = subprocess.run([sys.executable, "-c", RESIDENT], check=True, capture_output=True, text=True)
    before, after = json.loads(run.stdout)
    assert after - before < 2**26  # of 2 * 2**26 bytes that were copied


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("MALLOC_TRIM_THRESHOLD_", "77", "MALLOC_TRIM_THRESHOLD_=77"),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1", "GLIBC_TUNABLES=glibc.malloc.arena_max=1"),
        ("LD_PRELOAD", "/usr/lib/libjemalloc.so.2", "libjemalloc.so.2"),
    ],
)
def test_settings_of_the_user_remain(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("the C library was called"))
    assert allocator.keep_freed_memory() == allocator.allocator_settings() == expected


def test_another_c_library_has_no_such_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() == "default"
