"""Garbage collection of model versions: what may go, and what must never go."""

from collections import defaultdict
from collections.abc import Iterable

from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.models.version import ModelVersion, find_base
from twin_assets.core.records import Record
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import Lake


class Garbage(Record):
    """What a collection removed, or would remove when dry. `kept` gives the reason by version."""

    removed: list[str]
    freed_bytes: int
    kept: dict[str, str]
    dry_run: bool


def collect_garbage(registry: Registry, lake: Lake, keep_last: int = 3, dry_run: bool = True) -> Garbage:
    """Remove old versions of all personas: all but the newest `keep_last` of each persona, stage and profile.

    Never goes: what is in production or a canary, what a rollback brings back, what waits for a person or for
    deployment, and every parent of a version that stays, and the base that an adapter stands on. Raises TwinError when `keep_last` is below 1: the
    newest version may be in the middle of its evaluation.
    """
    if keep_last < 1:
        raise TwinError(f"keep_last={keep_last} would remove versions in use.", "keep at least 1.")
    versions = registry.list()
    in_use: dict[str, str] = {}
    for persona in sorted({v.lineage.persona for v in versions}):
        in_use |= in_use_by(Ledger(lake, persona))
    reasons = reasons_to_keep(versions, in_use, keep_last)
    # Children before parents: an interrupted collection leaves no version without its parent.
    order = sorted((v for v in versions if v.tag not in reasons), key=lambda v: v.created_at, reverse=True)
    if not dry_run:
        for version in order:
            registry.delete(version.tag)
    return Garbage(
        removed=[v.tag for v in order],
        freed_bytes=sum(v.size_bytes for v in order),
        kept=reasons,
        dry_run=dry_run,
    )


def in_use_by(ledger: Ledger) -> dict[str, str]:
    """Versions that the ledger needs, each with the reason."""
    history = ledger.history()
    deployed = list(dict.fromkeys(reversed(history.deployed())))
    reasons = dict(zip(deployed, ("in production", "what a rollback brings back"), strict=False))
    if canary := history.canary():
        reasons.setdefault(canary.model, "serves as a canary")
    if waiting := history.waiting():
        reasons.setdefault(waiting.model, "waits for a person")
    if approval := history.approved():
        reasons.setdefault(approval.model, "waits to be deployed")
    return reasons


def reasons_to_keep(
    versions: Iterable[ModelVersion], in_use: dict[str, str], keep_last: int
) -> dict[str, str]:
    """The versions that stay, each with the reason: in use, among the newest, or what one of them was trained from or
    stands on, whoever's it is."""
    by_tag = {version.tag: version for version in versions}
    reasons = {tag: reason for tag, reason in in_use.items() if tag in by_tag}
    groups: dict[tuple[str, str, str], list[ModelVersion]] = defaultdict(list)
    for version in sorted(by_tag.values(), key=lambda v: v.created_at, reverse=True):
        lineage = version.lineage
        groups[lineage.persona, lineage.stage, lineage.profile].append(version)
    for group in groups.values():
        for version in group[:keep_last]:
            reasons.setdefault(version.tag, f"among the newest {keep_last}")
    needed = list(reasons)
    for tag in needed:  # grows meanwhile: what is kept needs its own
        version = by_tag[tag]
        under = [("parent", by_tag.get(version.lineage.parent or ""))]
        if version.base:
            under.append(("base", find_base(by_tag.values(), version.base)))
        for what, other in under:
            if other is not None and other.tag not in reasons:
                reasons[other.tag] = f"{what} of {tag}"
                needed.append(other.tag)
    return reasons
