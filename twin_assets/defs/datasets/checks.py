"""Checks of the datasets: what must hold before anyone trains on them."""

from collections import Counter
from collections.abc import Mapping

import dagster as dg

from twin_assets.core.datasets.rows import DOCUMENTS, THUMBS, Manifest, ThumbRow
from twin_assets.core.feedback.pairs import feedback_row_id
from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.defs.datasets.assets import rows_of
from twin_assets.defs.datasets.feedback import accepted_pairs
from twin_assets.defs.shared.resources import Platform
from twin_assets.feature.corpus.ngrams import shared_ngrams
from twin_assets.feature.instruct.build import unverifiable_rows
from twin_assets.feature.instruct.near_heldout import holds_any, texts_near_heldout
from twin_assets.feature.instruct.shares import OVER_SHARE, over_share
from twin_assets.feature.preference.build import missing_kinds
from twin_assets.feature.preference.length_balance import TOLERANCE, length_balance


@dg.asset_check(
    asset="instruct_dataset", blocking=True, description="No kind of task has more than its share."
)
def shares_within_limits(platform: Platform, instruct_dataset: Manifest) -> dg.AssetCheckResult:
    """Blocks where leaving out more rows would mend it: the dataset was then built with other shares than the
    profile has now. A corpus that is nearly all of one kind is small, not wrong, and only warned of."""
    tasks = Counter(row.task for row in rows_of(platform, instruct_dataset, "train"))
    return _shares(tasks, platform.profile.max_shares, instruct_dataset.dropped.get(OVER_SHARE, 0))


@dg.asset_check(
    asset="preference_dataset",
    blocking=True,
    description="Every kind of pair that was asked for is there, and none has more than its share.",
)
def kinds_within_limits(platform: Platform, preference_dataset: Manifest) -> dg.AssetCheckResult:
    """Shares block as those of tasks do. A kind of which the model left nothing to teach is not missed."""
    manifest = preference_dataset
    kinds = Counter(row.kind for row in rows_of(platform, manifest, "train"))
    left_out = sum(n for name, n in manifest.dropped.items() if name.endswith(OVER_SHARE))
    shares = _shares(kinds, platform.profile.max_kind_shares, left_out)
    missing = missing_kinds(kinds, manifest.dropped)
    return dg.AssetCheckResult(
        passed=shares.passed and not missing,
        severity=dg.AssetCheckSeverity.ERROR if missing else shares.severity,
        metadata={**shares.metadata, "missing": dg.MetadataValue.json(missing)},
    )


@dg.asset_check(asset="preference_dataset", description="Length alone doesn't tell chosen from rejected.")
def length_tells_nothing(platform: Platform, preference_dataset: Manifest) -> dg.AssetCheckResult:
    """Only warns: what a model writes can be cut, not made longer, and a pair still teaches more than length."""
    balances = length_balance(rows_of(platform, preference_dataset, "train"))
    telling = [balance.kind for balance in balances if balance.tells]
    return dg.AssetCheckResult(
        passed=not telling,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"telling": dg.MetadataValue.json(telling), "tolerance": TOLERANCE},
    )


@dg.asset_check(
    asset="instruct_dataset",
    additional_ins={"documents": dg.AssetIn("corpus_split")},
    blocking=True,
    description="Every answer is the author's text, to the letter.",
)
def answers_are_verbatim(
    platform: Platform, instruct_dataset: Manifest, documents: list[SplitDocument]
) -> dg.AssetCheckResult:
    rows = rows_of(platform, instruct_dataset, "train", "test", DOCUMENTS)
    wrong = unverifiable_rows(rows, documents)
    return dg.AssetCheckResult(passed=not wrong, metadata={"rows": len(rows), "not_verbatim": len(wrong)})


@dg.asset_check(
    asset="instruct_dataset",
    additional_ins={"documents": dg.AssetIn("corpus_split")},
    blocking=True,
    description="No 13-gram of a held-out document is in a training row.",
)
def no_heldout_text_in_train(
    platform: Platform, instruct_dataset: Manifest, documents: list[SplitDocument]
) -> dg.AssetCheckResult:
    rows = rows_of(platform, instruct_dataset, "train", DOCUMENTS)
    heldout = [d.voice_text for d in documents if d.split == "heldout" and d.category != "code"]
    # What every row shares (the persona's description, the prompts) is no leak: leave the system turn out.
    texts = [m.content for row in rows for m in row.messages if m.role != "system"]
    shared = shared_ngrams(texts, heldout)
    return dg.AssetCheckResult(
        passed=not shared,
        metadata={"shared": len(shared), "examples": dg.MetadataValue.json(sorted(shared)[:5])},
    )


@dg.asset_check(
    asset="instruct_dataset",
    additional_ins={"chunks": dg.AssetIn("embeddings")},
    blocking=True,
    description="No training answer says nearly what a held-out passage says.",
)
def no_heldout_meaning_in_train(
    platform: Platform, instruct_dataset: Manifest, chunks: list[EmbeddedChunk]
) -> dg.AssetCheckResult:
    rows = rows_of(platform, instruct_dataset, "train", DOCUMENTS)
    near = texts_near_heldout(chunks, platform.thresholds)
    wrong = [row.row_id for row in rows if holds_any(row.messages[-1].content, near)]
    return dg.AssetCheckResult(passed=not wrong, metadata={"passages": len(near), "rows": len(wrong)})


@dg.asset_check(
    asset="preference_dataset",
    additional_ins={"instruct_dataset": dg.AssetIn("instruct_dataset")},
    blocking=True,
    description="Every chosen answer is the author's, to the letter; those of feedback are what a person accepted.",
)
def chosen_is_verbatim(
    platform: Platform, preference_dataset: Manifest, instruct_dataset: Manifest
) -> dg.AssetCheckResult:
    answers = {
        fingerprint(row.messages[-1].content) for row in rows_of(platform, instruct_dataset, "train", "test")
    }
    rows = rows_of(platform, preference_dataset, "train", "test")
    pairs = accepted_pairs(platform, preference_dataset.persona)
    accepted = {feedback_row_id(p): p.chosen for p in pairs if p.origin != "thumb"}
    thumbed = {feedback_row_id(p): (p.texts[0], p.chosen is not None) for p in pairs if p.origin == "thumb"}
    wrong = [
        row.row_id
        for row in rows
        if (
            accepted.get(row.row_id) != row.chosen.content
            if row.kind == "feedback"
            else fingerprint(row.chosen.content) not in answers
        )
    ]
    thumbs: list[ThumbRow] = rows_of(platform, preference_dataset, THUMBS)
    wrong += [row.row_id for row in thumbs if thumbed.get(row.row_id) != (row.completion.content, row.label)]
    return dg.AssetCheckResult(
        passed=not wrong, metadata={"rows": len(rows), "thumbs": len(thumbs), "not_verbatim": len(wrong)}
    )


def _shares(counts: Mapping[str, int], most: Mapping[str, float], left_out: int) -> dg.AssetCheckResult:
    over = over_share(counts, most, left_out)
    blocks = over.groups and over.can_be_mended
    return dg.AssetCheckResult(
        passed=not over.groups,
        severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
        metadata={"over": dg.MetadataValue.json(over.groups), "can_be_mended": over.can_be_mended},
    )
