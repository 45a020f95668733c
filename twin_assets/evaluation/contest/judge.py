"""An LLM as a second opinion on the voice: pairs of texts, each asked in both orders. Never mixed with the metrics.

Judges prefer what stands first, so both orders are asked and only an agreed verdict counts as a win (Zheng et al.,
"Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", 2023). What contradicts itself, and what can't be read, is
counted apart.
"""

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from typing import Literal

from twin_assets.core.llm.hosted import HostedModel, RequestFiltered, read_reply
from twin_assets.core.records import Record
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.text.tokens import estimated_tokens, first_tokens
from twin_assets.settings import Settings

PROMPT = Path(__file__).with_name("judge_prompt.md")
AT_ONCE, TEXT_TOKENS = 4, 700

Winner = Literal["A", "B", "tie"]


class Pair(Record):
    """Two texts for the same request."""

    request: str
    ours: str
    theirs: str


class Verdicts(Record):
    """What a judge said of pairs of the candidate and `rival`. Pairs are won, lost or tied by two verdicts that
    agree; `contradicted` pairs got different ones in the two orders; `unreadable` pairs a verdict that couldn't be
    parsed, `unanswered` ones none at all.

    `first_share` is the share of verdicts for the text that stood first, ties left out: 0.5 without position bias.
    `cost` is in US dollars.
    """

    judge: str
    rival: str
    pairs: int
    wins: int = 0
    losses: int = 0
    ties: int = 0
    contradicted: int = 0
    unreadable: int = 0
    unanswered: int = 0
    first_share: float | None = None
    cost: float = 0.0
    note: str | None = None


class Judge:
    """Any model that LiteLLM reaches, with a cache by model and prompt and a budget."""

    def __init__(self, settings: Settings, samples: list[str]) -> None:
        """`samples` are writing of the author. Raises TwinError when no judge is set, or its price is not known."""
        self._hosted, self._max_tokens = HostedModel(settings, "judge"), settings.judge_max_tokens
        self._cut_off, self._lock = 0, threading.Lock()
        self._samples = "\n\n".join(first_tokens(s, TEXT_TOKENS) for s in samples)
        self._kept: KeptValues[str] = KeptValues(settings.cache_dir / "judge.sqlite", "verdicts")
        self._template = Template(PROMPT.read_text().strip())

    @property
    def model(self) -> str:
        return self._hosted.model

    def compare(self, pairs: list[Pair], rival: str, say: Callable[[str], None]) -> Verdicts:
        """Every pair in both orders. Raises TwinError as `HostedModel.complete`, and over the budget at once."""
        asked = [prompt for p in pairs for prompt in (self._prompt(p, False), self._prompt(p, True))]
        spent, self._cut_off = self._hosted.spent, 0
        kept = self._kept.find(map(self._hosted.key, asked))
        # Empty ones were once kept: answers without text.
        known = {p: answer for p in asked if (answer := kept.get(self._hosted.key(p)))}
        missing = [p for p in dict.fromkeys(asked) if p not in known]
        self._hosted.check_estimate(
            sum(self._hosted.cost(estimated_tokens(p), self._max_tokens) for p in missing)
        )
        say(f"judge {self.model}: {len(pairs)} pairs against {rival}, {len(missing)} questions to ask")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for prompt, answer in zip(missing, pool.map(self._ask, missing), strict=True):
                if answer is not None:
                    known[prompt] = answer
                    self._kept.keep({self._hosted.key(prompt): answer})
        answers = [known.get(p) for p in asked]
        counted = count_verdicts(self.model, rival, list(zip(answers[::2], answers[1::2], strict=True)))
        note = f"{self._cut_off} verdicts were cut off at {self._max_tokens} tokens: {self._hosted.max_tokens_fix()}"
        return counted.model_copy(
            update={"cost": round(self._hosted.spent - spent, 6), "note": note if self._cut_off else None}
        )

    def _prompt(self, pair: Pair, swapped: bool) -> str:
        ours, theirs = (first_tokens(t, TEXT_TOKENS) for t in (pair.ours, pair.theirs))
        first, second = (theirs, ours) if swapped else (ours, theirs)
        return self._template.substitute(
            samples=self._samples, request=pair.request, first=first, second=second
        )

    def _ask(self, prompt: str) -> str | None:
        """The judge's words; None for none, and for words that were cut off before a verdict: they are asked for again."""
        try:
            answer = self._hosted.complete(prompt, self._max_tokens, 0.0)
        except RequestFiltered:
            return None
        if answer is None:
            return None
        reply = read_reply(answer)
        if reply.fault is None or read_verdict(reply.text):
            return reply.text
        with self._lock:
            self._cut_off += reply.fault == "cut_off"
        return None


def count_verdicts(judge: str, rival: str, answers: list[tuple[str | None, str | None]]) -> Verdicts:
    """Count pairs by their two answers: ours first, then ours second."""
    counts = dict.fromkeys(["wins", "losses", "ties", "contradicted", "unreadable", "unanswered"], 0)
    firsts = []
    for straight, swapped in answers:
        if straight is None or swapped is None:
            counts["unanswered"] += 1
            continue
        one, two = read_verdict(straight), read_verdict(swapped)
        firsts += [v == "A" for v in (one, two) if v in ("A", "B")]
        if one is None or two is None:
            counts["unreadable"] += 1
        elif (one, two) == ("A", "B"):
            counts["wins"] += 1
        elif (one, two) == ("B", "A"):
            counts["losses"] += 1
        elif one == two == "tie":
            counts["ties"] += 1
        else:
            counts["contradicted"] += 1
    share = sum(firsts) / len(firsts) if firsts else None
    facts = {"judge": judge, "rival": rival, "pairs": len(answers), "first_share": share}
    return Verdicts.model_validate(facts | counts)


def read_verdict(text: str) -> Winner | None:
    """The winner in an answer, chatter round it allowed; None when there is none, or more than one."""
    found = set()
    for part in re.findall(r"\{[^{}]*\}", text):
        try:
            winner = json.loads(part).get("winner")
        except ValueError:
            continue
        if isinstance(winner, str) and winner.strip().upper() in ("A", "B", "TIE"):
            found.add(winner.strip().upper())
    if len(found) != 1:
        return None
    [only] = found
    return "A" if only == "A" else "B" if only == "B" else "tie"
