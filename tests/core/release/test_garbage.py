"""Garbage collection frees space and never removes what is in use, or what something in use was made from."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.models import START, family, lineage, save
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import ModelVersion, Registry
from twin_assets.core.release.garbage import collect_garbage, in_use_by, reasons_to_keep
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import Settings


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[ModelVersion], list[str]]:
    """Versions each trained from any that were there before it, or from one that is gone; and what is in use."""
    versions: list[ModelVersion] = []
    for number in range(draw(st.integers(1, 25))):
        parents = [None, "twin-runa-sft:gone", *(v.tag for v in versions)]
        made_from = lineage(
            draw(st.sampled_from(["base", "sft", "dpo"])), draw(st.sampled_from(parents)), number,
            persona=draw(st.sampled_from(["runa", "ada"])), profile=draw(st.sampled_from(["nano", "small"])),
        )  # fmt: skip
        versions.append(
            ModelVersion(
                tag=made_from.tag, path=Path("nowhere"), lineage=made_from, weights_hash="w", size_bytes=1,
                created_at=START + timedelta(hours=draw(st.integers(0, 30))),
            )
        )  # fmt: skip
    return versions, draw(st.lists(st.sampled_from([v.tag for v in versions]), max_size=3))


@given(histories(), st.integers(1, 4))
def test_what_stays_is_whole(history: tuple[list[ModelVersion], list[str]], keep_last: int) -> None:
    versions, used = history
    kept = reasons_to_keep(versions, dict.fromkeys(used, "in use"), keep_last)
    known = {v.tag: v for v in versions}
    assert set(used) <= set(kept) <= set(known)
    for tag in kept:
        parent = known[tag].lineage.parent
        assert parent is None or parent not in known or parent in kept
    for gone in (v for v in versions if v.tag not in kept):
        as_new = [v for v in versions if _group(v) == _group(gone) and v.created_at >= gone.created_at]
        assert len(as_new) > keep_last
    # Nothing is kept without a reason.
    for reason in kept.values():
        assert (
            reason == "in use"
            or reason.startswith("among the newest")
            or reason.removeprefix("parent of ") in kept
        )


def test_the_base_of_an_adapter_stays_whoevers_it_is(tmp_path: Path) -> None:
    registry = Registry(Settings(home=tmp_path))
    base = save(registry, tmp_path / "base", lineage("base", persona="ada", number=1), 0)
    for n in range(2, 4):  # newer bases of the same group, so that the first would go
        save(registry, tmp_path / f"base{n}", lineage("base", persona="ada", number=n), n)
    adapter = save(registry, tmp_path / "sft", lineage("sft", "twin-runa-sft:gone"), 5, base=base.as_base)
    kept = reasons_to_keep(registry.list(), {}, 1)
    assert kept[base.tag] == f"base of {adapter.tag}"
    assert f"{base.tag.split(':')[0]}:{lineage('base', persona='ada', number=2).inputs_hash}" not in kept
    registry.delete(adapter.tag)
    assert base.tag not in reasons_to_keep(registry.list(), {}, 1)


def _group(version: ModelVersion) -> tuple[str, str, str]:
    return version.lineage.persona, version.lineage.stage, version.lineage.profile


@settings(max_examples=30, deadline=None)  # every example writes files
@given(
    st.lists(
        st.sampled_from(["release", "fail", "reject", "roll back", "approve", "propose", "canary"]),
        max_size=12,
    )
)
@example(["release", "canary"])
def test_the_ledger_names_what_it_still_needs(acts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(LocalLake(Path(folder)), "runa")
        for number, act in enumerate(acts):
            model = f"m:{number}"
            if act == "roll back":
                if newest := _newest(ledger):
                    ledger.append(newest, "rolled_back", "Ines", "why")
                continue
            ledger.append(model, "proposed", "pipeline", "why")
            if act != "propose":
                ledger.append(model, "evaluated", "pipeline", "why", passed=act != "fail")
            if act == "reject":
                ledger.append(model, "rejected", "Ines", "why")
            if act in ("approve", "release", "canary"):
                ledger.append(model, "approved", "Ines", "why")
            if ledger.history().canary():
                continue  # nothing else is released while one runs
            if act == "release":
                ledger.append(model, "deployed", "pipeline", "why")
            if act == "canary" and ledger.production():
                ledger.append(model, "canary_started", "pipeline", "why", share=0.1)
        needed = in_use_by(ledger)
        if canary := ledger.history().canary():
            assert needed[canary.model] == "serves as a canary"
            ledger.append(canary.model, "rolled_back", "Ines", "why")
        if production := ledger.production():
            assert needed[production] == "in production"
            ledger.append(production, "rolled_back", "Ines", "why")
            assert ledger.production() is None or ledger.production() in needed
        if waiting := ledger.waiting():
            assert waiting.model in needed
        if approval := ledger.approved():
            assert approval.model in needed


def _newest(ledger: Ledger) -> str | None:
    """What a rollback takes back first."""
    canary = ledger.history().canary()
    return canary.model if canary else ledger.production()


def test_a_collection_says_what_it_would_do_and_then_does_it(tmp_path: Path) -> None:
    registry, lake = Registry(Settings(home=tmp_path / "home")), LocalLake(tmp_path / "lake")
    base, sft, dpo = family(registry, tmp_path / "scratch")
    later = [
        save(registry, tmp_path / "scratch" / f"sft{n}", lineage("sft", base.tag, n), days=n)
        for n in (5, 6, 7)
    ]
    ledger = Ledger(lake, "runa")
    ledger.append(dpo.tag, "proposed", "pipeline", "new")
    ledger.append(dpo.tag, "evaluated", "pipeline", "fine", passed=True)
    ledger.append(dpo.tag, "approved", "Ines", "sounds like her")
    ledger.append(dpo.tag, "deployed", "pipeline", "approved")
    dry = collect_garbage(registry, lake, keep_last=1)
    assert dry.removed == [later[1].tag, later[0].tag]
    assert dry.freed_bytes > 0
    assert dry.kept == {
        dpo.tag: "in production", sft.tag: f"parent of {dpo.tag}", base.tag: "among the newest 1",
        later[2].tag: "among the newest 1",
    }  # fmt: skip
    assert len(registry.list()) == 6
    done = collect_garbage(registry, lake, keep_last=1, dry_run=False)
    assert done.removed == dry.removed
    assert {v.tag for v in registry.list()} == set(dry.kept)
    assert collect_garbage(registry, lake, keep_last=1, dry_run=False).removed == []
    with pytest.raises(TwinError, match="keep at least 1"):
        collect_garbage(registry, lake, keep_last=0)
