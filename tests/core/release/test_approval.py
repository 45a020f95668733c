"""The red button: who may decide what, when, and about which state of the ledger."""

import json
from pathlib import Path

import pytest
import yaml

from tests.support.releases import Office, decision_of_ines
from twin_assets.core import blind_readings
from twin_assets.core.errors import TwinError
from twin_assets.core.models import profiles
from twin_assets.core.release.approval import (
    Decision,
    Expired,
    NotReadBlind,
    approve_automatically,
    can_deploy,
    decide,
    last_release,
    propose,
)
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import ConflictError, Ledger


def test_an_approval_names_its_evaluation_and_is_deployed_once(tmp_path: Path) -> None:
    office = Office(tmp_path)
    evaluated = office.candidate()
    approval = office.approve(evaluated)
    deployed = office.deploy()
    assert deployed is not None
    assert (approval.follows, deployed.follows) == (evaluated.number, approval.number)
    assert deployed.reason == "approved by Ines (not authenticated): why"
    assert office.deploy() is None
    assert office.ledger.production() == evaluated.model


def test_a_candidate_is_proposed_once_and_evaluated_as_often_as_it_is_measured(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ledger, model = office.ledger, office.candidate().model

    def kinds() -> list[str]:
        return [event.kind for event in ledger.events() if event.model == model]

    failed = propose(ledger, model, ["too slow", "copied"], "learnt from 2 rows for connections")
    assert failed is not None
    assert (failed.passed, failed.actor) == (False, "pipeline")
    assert failed.reason == "too slow; copied; learnt from 2 rows for connections"
    assert ledger.waiting() is None
    passed = propose(ledger, model, [])
    assert passed is not None
    assert (passed.passed, passed.reason) == (True, "passed every gate")
    assert ledger.waiting() == passed
    assert kinds() == ["proposed", "evaluated", "evaluated", "evaluated"]
    office.approve(passed)
    assert propose(ledger, model, []) is None, "a person has decided: nothing to say"
    office.deploy()
    office.decide("roll_back", ledger.history().last(model) or passed)
    assert propose(ledger, model, []) is not None
    assert kinds()[-3:] == ["rolled_back", "proposed", "evaluated"]


def test_an_expired_evaluation_is_not_approved_until_it_is_evaluated_again(tmp_path: Path) -> None:
    office = Office(tmp_path, approval_days=3)
    evaluated = office.candidate()
    with pytest.raises(Expired, match=r"more than 3 days old \(TWIN_APPROVAL_DAYS\)"):
        office.approve(evaluated, days_later=3.1)
    assert office.decide("reject", evaluated, days_later=3.1).kind == "rejected", "old ones may go"
    office.ledger.append(evaluated.model, "proposed", "pipeline", "again")
    again = office.ledger.append(evaluated.model, "evaluated", "pipeline", "report", passed=True)
    assert office.approve(again, days_later=2.9).kind == "approved"


def test_an_expired_approval_is_closed_and_never_deployed(tmp_path: Path) -> None:
    office = Office(tmp_path, deploy_within_hours=5)
    approval = office.approve(office.candidate())
    with pytest.raises(Expired, match="TWIN_DEPLOY_WITHIN_HOURS"):
        office.deploy(hours_later=6)
    assert office.ledger.state(approval.model) == "rejected"
    assert office.deploy() is None
    assert office.ledger.production() is None


def test_a_candidate_is_superseded_before_and_after_its_approval(tmp_path: Path) -> None:
    office = Office(tmp_path)
    first, second = office.candidate(), office.candidate()
    with pytest.raises(TwinError, match=f"{first.model} is superseded by {second.model}"):
        office.approve(first)
    office.approve(second)
    third = office.candidate(passed=False)
    with pytest.raises(TwinError, match=f"superseded by {third.model}, proposed since"):
        office.deploy()
    assert office.ledger.state(second.model) == "rejected"
    assert office.ledger.production() is None


def test_a_decision_made_twice_or_on_an_old_page_is_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    evaluated = office.candidate()
    newer = office.ledger.append(evaluated.model, "evaluated", "pipeline", "evaluated again", passed=True)
    with pytest.raises(ConflictError, match="event 3 came after it"):
        office.approve(evaluated)
    office.approve(newer)
    with pytest.raises(ConflictError, match="approved by Ines"):
        office.approve(newer)
    with pytest.raises(ConflictError, match="is not about"):
        office.approve(newer, model="twin-runa-dpo:other")
    deployed = office.deploy()
    assert deployed
    office.decide("roll_back", deployed)
    with pytest.raises(ConflictError):
        office.decide("roll_back", deployed)
    with pytest.raises(ConflictError):
        office.approve(newer)
    with pytest.raises(TwinError, match="rolled_back, so it can't become deployed"):
        office.ledger.append(evaluated.model, "deployed", "pipeline", "the approval of before")


def test_a_failed_candidate_is_never_approved(tmp_path: Path) -> None:
    office = Office(tmp_path, auto_approve=True)
    with pytest.raises(TwinError, match="did not pass its evaluation"):
        office.approve(office.candidate(passed=False))
    assert approve_automatically(office.ledger, office.registry, office.settings) is None


def test_a_version_that_writes_noise_is_approved_only_where_the_settings_say_so(tmp_path: Path) -> None:
    office = Office(tmp_path, auto_approve=True)
    model = office.candidate().model
    evaluated = propose(office.ledger, model, [], plumbing=True)
    assert evaluated is not None
    assert evaluated.reason == "passed every gate; it only proves that the platform runs"
    with pytest.raises(TwinError, match=r"what it writes is noise.*TWIN_RELEASE_PLUMBING"):
        office.approve(evaluated)
    assert approve_automatically(office.ledger, office.registry, office.settings) is None
    assert office.ledger.waiting() == evaluated, "it may still be rejected, or approved under the flag"
    office.settings = office.settings.model_copy(update={"release_plumbing": True})
    office.approve(evaluated)
    office.deploy()
    assert office.ledger.production() == model
    assert office.ledger.history().plumbing() == {model}


def test_nothing_is_approved_automatically_unless_the_setting_says_so(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.candidate()
    assert approve_automatically(office.ledger, office.registry, office.settings) is None
    automatic = office.settings.model_copy(update={"auto_approve": True})
    event = approve_automatically(office.ledger, office.registry, automatic)
    assert event is not None
    assert (event.actor, event.kind) == ("automatic", "approved")
    assert "TWIN_AUTO_APPROVE" in event.reason


def test_the_ledger_says_who_was_authenticated_and_keeps_the_name_given_as_a_claim(tmp_path: Path) -> None:
    office = Office(tmp_path)
    given = decision_of_ines("approve", office.candidate(), reviewer=" Ines ")
    event = decide(office.ledger, office.registry, office.settings, given, "page login")
    assert (event.actor, event.claimed, event.who) == ("page login", "Ines", "Ines (page login)")
    deployed = office.deploy()
    assert deployed is not None
    assert (deployed.who, deployed.reason) == ("pipeline", "approved by Ines (page login): why")
    old = event.model_copy(update={"actor": "Ines", "claimed": None})  # written before there was `claimed`
    assert Event.model_validate_json(old.model_dump_json(exclude={"claimed"})).who == "Ines"


def test_a_person_has_a_name_of_their_own_and_a_reason(tmp_path: Path) -> None:
    office = Office(tmp_path)
    evaluated = office.candidate()
    for name in ("Automatic", " pipeline "):
        with pytest.raises(TwinError, match="platform's own"):
            office.approve(evaluated, reviewer=name)
    with pytest.raises(TwinError, match="actor and a reason"):
        office.approve(evaluated, reason="   ")


def test_what_is_not_in_the_registry_is_neither_deployed_nor_brought_back(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.ledger.append("twin-runa-dpo:ghost", "proposed", "pipeline", "its store was killed")
    ghost = office.ledger.append("twin-runa-dpo:ghost", "evaluated", "pipeline", "r", passed=True)
    office.approve(ghost)
    with pytest.raises(TwinError, match="no model 'twin-runa-dpo:ghost'"):
        office.deploy()
    first, second = office.release(), office.release()
    office.registry.delete(first.model)
    with pytest.raises(TwinError, match="no model"):
        office.decide("roll_back", second)
    assert office.ledger.production() == second.model


def test_a_canary_runs_beside_production_and_only_one_at_a_time(tmp_path: Path) -> None:
    office = Office(tmp_path, canary_share=0.2)
    first = office.release()
    assert first.kind == "deployed", "a first version has nothing to run beside"
    canary = office.release()
    assert (canary.kind, canary.share) == ("canary_started", 0.2)
    history = office.ledger.history()
    assert history.production() == first.model
    assert history.canary() == canary
    office.approve(office.candidate())
    assert not can_deploy(office.ledger.history(), office.settings)
    with pytest.raises(TwinError, match="is not over"):
        office.deploy()
    with pytest.raises(TwinError, match="roll the canary back first"):
        office.decide("roll_back", first)
    assert last_release(history) == canary
    office.decide("roll_back", canary)
    assert office.ledger.production() == first.model
    assert can_deploy(office.ledger.history(), office.settings)
    third = office.deploy()
    assert third
    promoted = office.ledger.append(third.model, "deployed", "release-watch", "fine", follows=third.number)
    assert office.ledger.production() == third.model == promoted.model
    assert office.ledger.history().predecessor() == first.model


def test_a_ledger_of_before_is_read_as_it_was_meant(tmp_path: Path) -> None:
    office = Office(tmp_path)
    kinds = ["proposed", "evaluated", "approved", "deployed", "rolled_back", "deployed"]
    for number, kind in enumerate(kinds, 1):
        old = {
            "number": number, "persona": "runa", "model": "a:1", "kind": kind, "actor": "x", "reason": "y",
            "at": "2024-01-01T00:00:00Z", "passed": True if kind == "evaluated" else None,
        }  # fmt: skip
        office.lake.create(f"ledger/runa/{number:08d}.json", json.dumps(old).encode())
    ledger = Ledger(office.lake, "runa")
    assert ledger.production() == "a:1"
    rolled = office.decide("roll_back", ledger.events()[-1])
    assert (rolled.number, rolled.follows, ledger.production()) == (7, 6, None)


def test_a_decision_is_complete() -> None:
    with pytest.raises(ValueError, match="about"):
        Decision.model_validate({"decision": "approve", "model": "m", "reviewer": "Ines", "reason": "good"})


def test_where_the_profile_asks_for_blind_readers_a_candidate_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = yaml.safe_load(profiles.PROFILES_FILE.read_text())
    asking["smoke"]["gate"]["blind_reader"] = 0.5
    (tmp_path / "profiles.yaml").write_text(yaml.safe_dump(asking))
    monkeypatch.setattr(profiles, "PROFILES_FILE", tmp_path / "profiles.yaml")
    office = Office(tmp_path, profile="smoke", auto_approve=True)
    assert office.decide("reject", office.candidate()).kind == "rejected", "a rejection needs no readers"
    evaluated = office.candidate()

    def read(pair: int, right: bool, kind: blind_readings.Kind = "base") -> None:
        blind_readings.add_reading(
            office.lake, "runa", evaluated.model, f"reader {pair % 2}", pair_id=f"{kind}{pair}", kind=kind,
            texts=[f"{kind}{pair}"], choice="left", right=right,
        )  # fmt: skip

    for pair in range(9):
        read(pair, right=True, kind="author")
    for pair in range(7):
        read(pair, right=True)
    with pytest.raises(NotReadBlind, match="after 7 answers it is not"):
        office.approve(evaluated)
    assert approve_automatically(office.ledger, office.registry, office.settings) is None
    read(7, right=True)
    approval = approve_automatically(office.ledger, office.registry, office.settings)
    assert approval is not None
    assert approval.model == evaluated.model
