"""No text makes a pattern take longer than in proportion to its length: each is attacked with texts made from itself."""

import re
from pathlib import Path

import pytest

from tests.support.machine import growth
from tests.support.worst_texts import ROOT, STEEP, Found, patterns_of, steepest
from twin_assets.core.prompts.templates import strip_special_tokens
from twin_assets.inference.twin.shaping import without_images

# What a request, an answer of a model or a linked page passes through.
FOLDERS = ("serving", *(f"twin_assets/{part}" for part in ("core", "inference", "evaluation", "monitoring")))
FILES = [
    path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if "re." in path.read_text()
]
# Patterns that are put together at run time, of words that are ours or of a persona's YAML, without repeats.
PUT_TOGETHER = {
    "twin_assets/core/llm/client.py", "twin_assets/core/text/html/boilerplate.py", "twin_assets/core/text/html/blocks.py", "twin_assets/core/text/html/meta.py",
    "twin_assets/evaluation/grounding/questions.py", "twin_assets/inference/retrieval/understand.py", "twin_assets/monitoring/erasure/people.py", "twin_assets/monitoring/scores/toxicity.py",
}  # fmt: skip


def faults(path: Path) -> list[str]:
    told = []
    for found in patterns_of(path)[0]:
        for method in sorted(found.methods):
            times, attack = steepest(found.pattern, method)
            if times > STEEP:
                told.append(f"{found.where}: {found.pattern.pattern!r}.{method} takes {times:.0f} times as long for {attack}")  # fmt: skip
    return told


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pattern_s_time_grows_no_faster_than_the_text(path: Path) -> None:
    assert faults(path) == []


def test_every_pattern_is_found() -> None:
    found: list[Found] = []
    for path in FILES:
        read, unread = patterns_of(path)
        found += read
        assert not unread or str(path.relative_to(ROOT)) in PUT_TOGETHER, unread
    assert len(found) > 150
    assert {"twin_assets/core/prompts/templates.py _MARKS", "twin_assets/core/text/privacy_rules.py _EMAIL"} <= {f.where for f in found}  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"[<＜]\s*/?\s*(?:s|think)\s*[>＞]", "sub"), (r"(a+)+$", "match"), (r"<title[^>]*>\s*(.*?)\s*</title>", "search"),
        (r"!\[([^\]]*)\]", "sub"), (r"\s+$", "sub"), (r"(?m)^\s*#", "findall"), (r"(?:a|a)*b", "fullmatch"), (r"\w+@\w+", "search"),
        (r"(?s)<(script|style)\b.*?</\1>", "sub"),
    ],
)  # fmt: skip
def test_the_attacks_find_what_they_are_for(pattern: str, method: str) -> None:
    assert steepest(re.compile(pattern), method)[0] > STEEP


@pytest.mark.parametrize(
    "attack",
    [lambda n: "<" + " " * n, lambda n: "< " * n, lambda n: "<s" * n + ">" * n, lambda n: "<|" * n + "|>" * n, lambda n: "[" * n + "/INST]" * n],
    ids=["spaces", "openings", "marks in marks", "bars in bars", "brackets"],
)  # fmt: skip
def test_marks_of_chat_templates_are_taken_out_in_time_with_the_length(attack: object) -> None:
    assert callable(attack)
    assert growth(lambda size: strip_special_tokens(attack(size)), 20_000, 4) < STEEP
    left = strip_special_tokens(attack(200))
    assert strip_special_tokens(left) == left, "none is left over"


@pytest.mark.parametrize("piece", ["![", "![](", "![][", "<img ", "<", "!", "![a] ", "](", ">"])
def test_images_are_taken_out_in_time_with_the_length(piece: str) -> None:
    assert growth(lambda size: list(without_images([piece * size])), 4_000, 4) < STEEP
    assert growth(lambda size: list(without_images(piece * 10 for _ in range(size))), 600, 4) < STEEP
