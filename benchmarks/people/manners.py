"""How a text is best drawn: the walk's base and SFT models at several temperatures and penalties on repetition, on the same topics.

The instruments tell voice, copying and passages that no author would write; whether a post holds together they don't, so the texts are
printed to be read. `SFT` and `base+prompt+retrieval` without a manner are the usual one's.
"""

from collections.abc import Callable

from benchmarks.people.arms import walked
from benchmarks.people.compare import SFT, judge, open_desk
from benchmarks.people.home import Home
from benchmarks.people.page import NAMES, gains_table, result_table, samples
from twin_assets.evaluation.results import BASELINE
from twin_assets.inference.generation.sampling import Manner

MANNERS = [Manner(0.8, 1.0), Manner(0.8, 1.05), Manner(0.6, 1.1)]  # a penalty of 1 is none


def manners(home: Home, say: Callable[[str], None]) -> str:
    """Write and judge; returns what was found, as Markdown. Raises TwinError for somebody who was not walked before."""
    desk = open_desk(home, say)
    base, sft = walked(desk)
    systems, pairs = {}, []
    for role, version in ((BASELINE, base), (SFT, sft)):
        prompting = "baseline" if role == BASELINE else "twin"
        systems[role] = desk.writers.system(role, version.tag, prompting)
        for manner in MANNERS:
            name = f"{NAMES.get(role, role)}, temperature {manner.temperature:g}, penalty {manner.repetition_penalty:g}"
            systems[name] = desk.writers.system(name, version.tag, prompting, manner)
            pairs.append((name, role))
    found = judge(home, desk, systems, pairs, say)
    return "\n\n".join([result_table(found), gains_table(found), samples(found)])
