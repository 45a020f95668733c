"""Is SFT better for requests that the base model wrote than for those that rules make? The same author's text answers both.

Both arms learn with the walk's seed and configuration, from as many rows as the profile allows, of the same documents. The judge's tasks
are of held-out documents: their titles to be written about, and questions that rules make of them.
"""

from collections.abc import Callable

from benchmarks.people.arms import (
    document_losses,
    judged,
    losses_table,
    must_be_alike,
    row_source,
    stored,
    trained,
    walked,
)
from benchmarks.people.compare import SFT, open_desk
from benchmarks.people.home import Home
from benchmarks.people.page import gains_table, result_table
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import read_manifest, read_rows
from twin_assets.core.errors import TwinError
from twin_assets.evaluation.results import BASELINE

RULES = "SFT, requests by rules"


def rule_requests(home: Home, say: Callable[[str], None]) -> str:
    """Train what is missing and judge it beside the walk's base and SFT; returns what was found, as Markdown. Raises TwinError for
    somebody who was not walked before, whose walk asked no base model, or who was trained otherwise than this checkout does."""
    desk, settings = open_desk(home, say), home.settings
    base, asked = walked(desk)
    before = asked.lineage.datasets["instruct"]
    if (
        read_manifest(desk.lake, home.person.name, "instruct", before).parents.get("teacher", "none")
        == "none"
    ):
        raise TwinError(
            f"No model was asked for the requests of {asked.tag}.",
            "walk this person with TWIN_BACKTRANSLATION unset.",
        )
    summary = f"The rows of {home.person.full_name} with requests by rules."
    manifest = stored(
        home, desk, "rules", row_source(home, desk).build(), asked, {"teacher": "none"}, summary
    )
    rules = trained(settings, desk, "sft", base, manifest, say)
    must_be_alike(rules, asked)
    versions = {BASELINE: base, SFT: asked, RULES: rules}
    losses = {role: document_losses(settings, desk, version) for role, version in versions.items()}
    found = judged(home, desk, versions, ((SFT, RULES), (SFT, BASELINE), (RULES, BASELINE)), say)
    rows: list[InstructRow] = read_rows(desk.lake, home.person.name, "instruct", before, "train")
    made = read_rows(desk.lake, manifest.persona, "instruct", manifest.version, "train")
    return "\n\n".join(
        [
            f"SFT of {len(rows)} rows, {len(_requests(rows) - _requests(made))} of whose requests the rules don't make; {len(made)} rows by "
            f"rules. Held out: {len(losses[SFT])} documents. Loss in nats a token.",
            losses_table(versions, losses, RULES, found.report, settings.seed),
            result_table(found),
            gains_table(found),
        ]
    )


def _requests(rows: list[InstructRow]) -> set[str]:
    return {row.messages[-2].content for row in rows}
