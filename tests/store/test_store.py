"""Records under their digests: found again, replaced, never half written."""

import json
import os
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sefactory.store.store import Store, digest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, min_size=2, max_size=4))
def test_the_order_of_keys_does_not_change_a_digest(description: dict[str, object]) -> None:
    assert digest(description) == digest(dict(reversed(description.items())))


@given(PLAIN, PLAIN)
def test_other_values_have_other_digests(one: object, other: object) -> None:
    if repr(one) != repr(other) and one != other:
        assert digest({"x": one}) != digest({"x": other})


def test_the_order_of_a_list_changes_a_digest() -> None:
    assert digest([1, 2]) != digest([2, 1])


def test_a_record_is_found_again_and_replaced(tmp_path: Path) -> None:
    store, key = Store(tmp_path / "new" / "folder"), digest("a")
    assert store.get(key) is None and list(store.records()) == []
    store.put(key, {"x": 1})
    store.put(key, {"x": [2.5, None, "é"]})
    assert store.get(key) == {"x": [2.5, None, "é"]} and list(store.records()) == [(key, {"x": [2.5, None, "é"]})]
    assert [path.name for path in store.folder.iterdir()] == [f"{key}.json"]


@pytest.mark.parametrize("content", [b"", b'{"x": 1', b"[1]", b"\xff\xfe"])
def test_half_a_record_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    store.put("good", {"x": 1})
    (tmp_path / "bad.json").write_bytes(content)
    assert store.get("bad") is None and [key for key, _ in store.records()] == ["good"]


def test_a_failed_write_leaves_the_earlier_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.put("a", {"x": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        store.put("a", {"x": 2})
    assert store.get("a") == {"x": 1} and [path.name for path in tmp_path.iterdir()] == ["a.json"]


def _write_often(folder: Path, start: int) -> None:
    for i in range(start, start + 50):
        Store(folder).put(f"own{i}", {"x": i})
        Store(folder).put("shared", {"x": [start] * 1000})


def test_processes_write_side_by_side(tmp_path: Path) -> None:
    context = get_context("spawn")
    processes = [context.Process(target=_write_often, args=(tmp_path, 50 * i)) for i in range(3)]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        if (file := tmp_path / "shared.json").exists():  # read as a file: a store counts what is torn as missing
            assert len(set(json.loads(file.read_text())["x"])) == 1
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(list(Store(tmp_path).records())) == 151
