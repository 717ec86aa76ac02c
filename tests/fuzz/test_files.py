"""Fuzz tests of files and overrides: YAML, names, paths, references."""

from pathlib import Path

import pytest

from tests.fuzz.bounded_error import error_message

BILLION_LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
MERGES = "a0: &a0 {k: 1, l: 2}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], m{i}: 1}}\n" for i in range(1, 12)
)
FILES: dict[str, str | bytes] = {
    "billion laughs": BILLION_LAUGHS,
    "a billion merges": MERGES,
    "an alias of itself": "&a [*a]",
    "a merge of itself": "a: &a {<<: *a}",
    "a merge of no mapping": "<<: [1, 2]",
    "50,000 brackets": "[" * 50_000 + "]" * 50_000,
    "50,000 open brackets": "[" * 50_000,
    "50,000 braces": "{a: " * 50_000,
    "50,000 dashes": "- " * 50_000 + "relu",
    "2 MiB": "# " + "x" * 2**21 + "\nrelu",
    "1 MiB of entries": "- relu\n" * 140_000,
    "1 MiB of keys": "".join(f"k{i}: 1\n" for i in range(90_000)),
    "1 MiB of anchors": "".join(f"- &a{i} relu\n" for i in range(60_000)),
    "1 MiB of text": "x" * (2**20 - 10),
    "1 MiB of quoted text": '"' + "x" * (2**20 - 10) + '"',
    "a number of 9,000 digits": "linear: " + "9" * 9_000,
    "a hexadecimal one": "linear: 0x" + "f" * 9_000,
    "a sexagesimal one": "linear: " + "1:" * 4_000 + "1",
    "python/object/apply": "gate: [!!python/object/apply:os.system [ls]]",
    "python/name": "gate: [!!python/name:os.system ]",
    "python/object/new": "!!python/object/new:type [x, [], {}]",
    "a tag of its own": "gate: [!sigmoid {}]",
    "a tag that means nothing": "gate: [!<!> sigmoid]",
    "an int that is none": "linear: !!int ''",
    "a bool that is none": "linear: !!bool x",
    "a date that is none": "linear: 2020-13-45",
    "a timestamp tag": "linear: !!timestamp x",
    "a set": "gate: !!set {sigmoid}",
    "binary": "gate: !!binary aGVsbG8=",
    "a date": "gate: [2020-01-01]",
    "a date as a key": "2020-01-01: relu",
    "a number as a key": "1: relu",
    "a list as a key": "? [a]\n: relu",
    "not UTF-8": b"gate: [\xff\xfe]",
    "UTF-16": "gate: [sigmoid]".encode("utf-16"),
    "NUL": "gate: [sig\0moid]",
    "a bell": "gate: [sig\amoid]",
    "nothing": "",
    "two documents": "gate: [sigmoid]\n---\nrelu",
    "an undefined alias": "gate: [*nothing]",
    "an equals sign": "gate: [=]",
    "a directive": "%YAML 9.9\n---\nrelu: 3",
    "not a number": "conv: {out: .nan}",
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path) -> None:
    content = FILES[name]
    (tmp_path / "h.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert error_message(tmp_path / "h.yaml").startswith("h.yaml")


@pytest.mark.parametrize(
    "name",
    [
        "../senet",
        "./senet",
        "/etc/passwd",
        "block/../senet",
        "~/x",
        "http://a.b/c",
        "file:///etc/passwd",
        "senet.yaml",
        "senet ",
        "SENET",
        "sénet",
        "a//b",
        "a\\b",
        "a\nb",
        "x" * 200,
        "x" * 5_000,
        "x/" * 90 + "x",
        "*",
        "",
        ".",
        "con:",
        "senet\0",
        "%2e%2e",
    ],
)
def test_a_name_cannot_be_a_path(name: str) -> None:
    error_message(name)
    error_message([name])
    error_message({"series": [{name: {}}]})
    error_message({"defaults": [name, "_self_"], "gate": ["sigmoid"]})
    error_message("unit", overrides=[f'squeeze="{name}"' if name.isprintable() and name else "squeeze='../x'"])


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/", "\0", "x" * 5_000, "nothing/at/all.yaml"])
def test_a_path_must_be_a_file(path: str) -> None:
    error_message(Path(path))


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "a.yaml")
    error_message(tmp_path / "a.yaml")
    error_message("a", search=[tmp_path])


@pytest.mark.parametrize(("width", "depth"), [(100, 3), (100, 18), (2, 18), (9_000, 1)])
def test_references_cannot_grow_exponentially(tmp_path: Path, width: int, depth: int) -> None:
    for level in range(depth):
        (tmp_path / f"f{level}.yaml").write_text("series: [" + ", ".join([f"f{level + 1}"] * width) + "]")
    (tmp_path / f"f{depth}.yaml").write_text("relu")
    assert "expands to more than 10,000 nodes" in error_message(tmp_path / "f0.yaml")


def test_cyclic_references_are_rejected(tmp_path: Path) -> None:
    for level in range(500):
        (tmp_path / f"f{level}.yaml").write_text(f"series: [f{level + 1}]")
    (tmp_path / "f500.yaml").write_text("relu")
    text = "nested deeper than 80 levels, including the levels of the configs that use this one"
    assert error_message(tmp_path / "f0.yaml").endswith(text)


def test_long_inheritance_is_rejected(tmp_path: Path) -> None:
    for level in range(2_000):
        (tmp_path / f"f{level}.yaml").write_text(f"defaults: [f{level + 1}, _self_]")
    (tmp_path / "f2000.yaml").write_text("relu: null")
    assert error_message(tmp_path / "f0.yaml") == "f20.yaml defaults: inherits through more than 20 files"


def test_wide_inheritance_is_rejected(tmp_path: Path) -> None:
    for level in range(12):
        (tmp_path / f"f{level}.yaml").write_text(f"defaults: [{f'f{level + 1}, ' * 900}_self_]\nlet: {{a{level}: 1}}")
    (tmp_path / "f12.yaml").write_text("series: {" + ", ".join(f"s{i}: relu" for i in range(4_900)) + "}")
    assert error_message(tmp_path / "f0.yaml") == "f0.yaml defaults: 'f1' is listed twice"


@pytest.mark.parametrize(
    "override",
    [
        "let.r=" + "[" * 900 + "]" * 900,
        "let.r=" + "{a:" * 900,
        "x" * 100_000,
        "a." * 3_000 + "b=1",
        "+" + "a." * 300 + "b=1",
        "let.r=" + "9" * 5_000,
        "let.r='" + "(" * 5_000 + "'",
        "let.r=\\",
        "let.r=\0",
        "let.r='",
        "@",
        "=",
        "~",
        "+++let.r=1",
        "let.r==1",
        "let.r=1\nlet.k=3",
        "hydra.run.dir=/tmp",
        "squeeze@=mean",
        "squeeze@a:b=mean",
        "squeeze='/etc/passwd'",
        "let.r=glob(*)",
        "let.r=choice(1,2)",
        "let.r=nan",
        "let.r=inf",
    ],
)
def test_overrides(override: str) -> None:
    error_message("cbam", overrides=[override])
