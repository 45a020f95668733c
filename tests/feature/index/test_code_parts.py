"""Code is cut where its syntax tree says, in every language that has a grammar."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.feature.index.code_parts import GRAMMARS, code_parts
from twin_assets.settings import ROOT

SAMPLES = {
    ".go": ("package main\n\n// Read reads.\nfunc (t *Tide) Read(at int) int {\n\treturn 1\n}\n",
            "func (t *Tide) Read(at int) int"),
    ".rs": ("use std::fs;\n\n/// Reads.\npub fn read(at: u8) -> u8 {\n    at\n}\n", "pub fn read(at: u8) -> u8"),
    ".ts": ("import x from 'x'\n\nexport const read = (at: number) => {\n  return at\n}\n", "const read"),
    ".js": ("// Reads.\nfunction read(at) {\n  return at\n}\n", "function read(at)"),
    ".java": ("class Tide {\n  int read(int at) { return at; }\n}\n", "class Tide"),
    ".c": ("#include <stdio.h>\n\nint read_tide(int at) {\n  return at;\n}\n", "int read_tide(int at)"),
    ".cpp": ("template <class T>\nT read_tide(T at) {\n  return at;\n}\n", "T read_tide(T at)"),
    ".rb": ("# Reads.\ndef read(at)\n  at\nend\n", "def read(at)"),
    ".sh": ("#!/bin/sh\n\nread_tide() {\n  echo 1\n}\n", "read_tide"),
    ".py": ("@cache\ndef read(at: int) -> int:\n    return at\n", "def read(at: int) -> int"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", sorted(SAMPLES))
def test_a_definition_is_found_with_what_stands_above_it(suffix: str) -> None:
    text, signature = SAMPLES[suffix]
    parts = code_parts(text, f"tide{suffix}", lambda part: True)
    assert signature in str(parts[-1].heading)
    last = text[parts[-1].start :]
    above = [line for line in text.split("\n") if line.startswith(("//", "# ", "///", "@"))]
    assert all(line in last for line in above)


def test_a_large_class_is_split_at_its_methods_under_its_name() -> None:
    text = "class Tide:\n    '''Tides — of all kinds.'''\n\n    def low(self):\n        return 1\n\n    def high(self):\n        return 2\n"
    whole = code_parts(text, "tide.py", lambda part: True)
    split = code_parts(text, "tide.py", lambda part: len(part) < 60)
    assert [p.heading for p in whole] == ["class Tide"]
    assert [p.heading for p in split] == [
        "class Tide",
        "class Tide › def low(self)",
        "class Tide › def high(self)",
    ]
    assert text[split[1].start :].startswith("def low")


def test_a_language_without_a_grammar_and_broken_code_are_still_whole() -> None:
    assert code_parts("x", "a.lua", lambda part: True) == [(0, None)]
    broken = code_parts("def a(:\n  )(", "a.py", lambda part: True)
    assert broken[0].start == 0


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(GRAMMARS)),
    st.lists(
        st.sampled_from([text for text, _ in SAMPLES.values()] + ["\n\n", "é⛴ = 1\n", "}{"]), max_size=6
    ),
)
def test_parts_begin_at_zero_and_follow_one_another(suffix: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    parts = code_parts(text, f"a{suffix}", lambda part: len(part) < 80)
    starts = [part.start for part in parts]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(0 <= start <= len(text) for start in starts)


def test_our_own_code_is_cut_at_its_functions() -> None:
    path = ROOT / "twin_assets" / "feature" / "index" / "code_parts.py"
    headings = [p.heading for p in code_parts(Path(path).read_text(), path.name, lambda part: True)]
    assert "def code_parts(text: str, path: str, fits: Callable[[str], bool]) -> list[CodePart]" in headings
