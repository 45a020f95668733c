"""How a text is best drawn: the walk's SFT model at several temperatures and penalties on repetition, on the same topics.

The instruments tell voice, copying and passages that no author would write; whether a post holds together they don't, so the texts are
printed to be read. `SFT` is the usual manner.
"""

from collections.abc import Callable

from benchmarks.people.arms import walked
from benchmarks.people.compare import SFT, judge, open_desk
from benchmarks.people.home import Home
from benchmarks.people.page import gains_table, result_table, samples
from twin_assets.evaluation.results import BASELINE
from twin_assets.inference.generation.sampling import Manner

MANNERS = [Manner(0.8, 1.0), Manner(0.6, 1.1), Manner(0.6, 1.05), Manner(0.4, 1.1), Manner(0.4, 1.05)]


def manners(home: Home, say: Callable[[str], None]) -> str:
    """Write and judge; returns what was found, as Markdown. Raises TwinError for somebody who was not walked before."""
    desk = open_desk(home, say)
    base, sft = walked(desk)
    systems = {
        BASELINE: desk.writers.system(BASELINE, base.tag, "baseline"),
        SFT: desk.writers.system(SFT, sft.tag, "twin"),
    }
    others = {f"temperature {m.temperature:g}, penalty {m.repetition_penalty:g}": m for m in MANNERS}
    systems |= {role: desk.writers.system(role, sft.tag, "twin", manner) for role, manner in others.items()}
    found = judge(home, desk, systems, [(role, SFT) for role in others], say)
    return "\n\n".join([result_table(found), gains_table(found), samples(found)])
