"""Alerts: told once, grouped, repeated daily, closed with a word; over real HTTP and SMTP."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from tests.monitoring.alerts.alert_doubles import HookDouble, SmtpDouble, loopback_certificate
from tests.monitoring.drift.drift_factories import MONDAY
from twin_assets.core.storage.lake import LocalLake
from twin_assets.monitoring.alerts.channels import channels, deliver
from twin_assets.monitoring.alerts.lifecycle import (
    Alert,
    Batch,
    alerts_of,
    batches,
    body,
    open_alerts,
    settle_alerts,
    subject,
)
from twin_assets.monitoring.drift.report import Signal, drift_report
from twin_assets.settings import Settings

LINK = "http://127.0.0.1:3070/assets/drift_report?partition=runa"


def alert(name: str, since: float = 0, severity: str = "warning") -> Alert:
    return Alert.model_validate({
        "name": name, "severity": severity, "what": f"{name} is <bad>", "how_bad": "0.3 after 0.8",
        "since": MONDAY + timedelta(hours=since), "link": LINK,
    })  # fmt: skip


def look(lake: LocalLake, hours: float, *found: Alert, to: tuple[str, ...] = ("webhook",)) -> Batch | None:
    return settle_alerts(lake, "runa", found, MONDAY + timedelta(hours=hours), to)


def test_several_alerts_are_one_message_and_the_same_again_is_none(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    first = look(lake, 1, alert("grounding", severity="critical"), alert("cost"))
    assert first is not None
    assert (first.told, first.pending) == (["grounding", "cost"], ["webhook"])
    assert subject(first) == "[LLM Twin] runa: critical: grounding, cost"
    for part in (
        "grounding is <bad>",
        "Since: 2026-03-02 00:00 UTC",
        "How bad: 0.3 after 0.8",
        f"Look: {LINK}",
    ):
        assert part in body(first)
    assert all(look(lake, 1 + n, alert("grounding"), alert("cost")) is None for n in range(1, 20))


def test_an_open_alert_is_repeated_daily_with_its_first_beginning_and_closed_with_a_word(
    tmp_path: Path,
) -> None:
    lake = LocalLake(tmp_path)
    look(lake, 0, alert("grounding"))
    again = [n for n in range(1, 75) if look(lake, n, alert("grounding", since=n))]
    assert again == [24, 48, 72]
    assert batches(lake, "runa")[-1].repeated[0].since == MONDAY
    over = look(lake, 75)
    assert over is not None
    assert subject(over) == "[LLM Twin] runa: over: grounding"
    assert "Over: grounding, which began 2026-03-02 00:00 UTC." in body(over)
    assert open_alerts(batches(lake, "runa")) == {}
    assert look(lake, 76) is None


def test_a_flapping_alert_makes_no_storm(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    for n in range(48):
        look(lake, n / 2, *([alert("cost")] if n % 2 == 0 else []))
    assert len([b for b in batches(lake, "runa") if b.speaks]) <= 4
    assert not batches(lake, "runa")[10].pending


def test_what_is_new_beside_what_is_known_is_told_alone(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    look(lake, 0, alert("cost"))
    second = look(lake, 3, alert("cost"), alert("voice"))
    assert second is not None
    assert second.told == ["voice"]
    assert set(open_alerts(batches(lake, "runa"))) == {"cost", "voice"}


def test_looks_at_once_write_one_batch(tmp_path: Path) -> None:
    lake, together = LocalLake(tmp_path), Barrier(4)

    def one(round_: int) -> Batch | None:
        together.wait()
        return look(lake, 30 * round_, *([alert("cost")] if round_ % 2 else []))

    with ThreadPoolExecutor(4) as threads:
        for round_ in range(1, 11):
            assert sum(batch is not None for batch in threads.map(one, [round_] * 4)) == 1
    assert [batch.number for batch in batches(lake, "runa")] == list(range(1, 11))


def test_a_batch_that_is_gone_silences_no_later_one(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    for hours, name in enumerate(("cost", "voice", "grounding")):
        look(lake, hours, alert(name))
    lake.delete("alerts/runa/00000002.json")
    assert look(lake, 4, alert("grounding")) is not None


def test_an_alert_says_what_since_when_how_bad_and_where(tmp_path: Path) -> None:
    bad = Signal(
        name="voice", family="quality", drifted=True, sentence="the voice has moved", before=0.2, after=-0.1,
        since=MONDAY, evidence="1 of 1,000 weeks",
    )  # fmt: skip
    fine = Signal(name="failed", family="quality", drifted=False, sentence="no more requests fail")
    [found] = alerts_of(drift_report([bad, fine], 10, MONDAY + timedelta(days=1)), LINK)
    assert (found.name, found.severity, found.what, found.since, found.link) == ("voice", "critical", "the voice has moved", MONDAY, LINK)  # fmt: skip
    assert found.how_bad == "-0.1 after 0.2; 1 of 1,000 weeks"
    assert "roll the release back" in found.advice


def settings(tmp_path: Path, **given: object) -> Settings:
    return Settings.model_validate({"home": tmp_path, "smtp_security": "none", **given})


def test_a_message_reaches_webhook_slack_and_mailbox(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    with HookDouble() as hook, SmtpDouble() as mail:
        everything = settings(
            tmp_path, alert_webhook_url=f"{hook.address}/hook", alert_slack_url=f"{hook.address}/slack",
            alert_email_to=["ada@example.org", "ben@example.org"], smtp_host="127.0.0.1", smtp_port=mail.port,
        )  # fmt: skip
        assert channels(everything) == ["webhook", "slack", "email"]
        look(lake, 0, alert("voice"), to=tuple(channels(everything)))
        assert deliver(lake, "runa", everything) == []
        assert deliver(lake, "runa", everything) == []
        webhook, slack = hook.posted
        [message] = mail.messages
    assert (webhook["path"], webhook["id"], webhook["opened"][0]["name"]) == ("/hook", "runa-1", "voice")
    assert "voice is &lt;bad&gt;" in slack["text"]
    assert (message["Subject"], message["To"]) == ("[LLM Twin] runa: warning: voice", "ada@example.org, ben@example.org")  # fmt: skip
    assert f"Look: {LINK}" in message.get_payload()
    assert message["From"] == "ada@example.org"


def test_a_channel_that_fails_is_tried_again_alone_and_its_address_is_not_told(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    with HookDouble() as up, HookDouble() as down:
        both = settings(
            tmp_path, alert_webhook_url=f"{down.address}/very-secret", alert_slack_url=f"{up.address}/slack"
        )
        look(lake, 0, alert("voice"), to=tuple(channels(both)))
        down.status = 503
        [problem] = deliver(lake, "runa", both)
        assert "The webhook answered 503." in problem
        assert "very-secret" not in problem
        assert len(up.posted) == 1
        down.status = 200
        assert deliver(lake, "runa", both) == []
        assert (len(up.posted), len(down.posted)) == (1, 1)
    look(lake, 1, alert("cost"), to=("webhook",))
    [problem] = deliver(lake, "runa", both)
    assert "can't be reached (ConnectError)" in problem
    assert "very-secret" not in problem + repr(both)


def test_what_apprise_knows_is_a_channel_by_its_address(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    with HookDouble() as up, HookDouble() as down:
        urls = [f"{where.address.replace('http://', 'json://')}/very-secret" for where in (up, down)]
        both = settings(tmp_path, alert_urls=urls)
        names = channels(both)
        assert [name.partition(":")[0] for name in names] == ["json", "json"]
        assert len(set(names)) == 2
        look(lake, 0, alert("voice", severity="critical"), to=tuple(names))
        down.status = 503
        [problem] = deliver(lake, "runa", both)
        assert "JSON did not take it" in problem
        assert "very-secret" not in problem + repr(both) + repr(batches(lake, "runa"))
        down.status = 200
        assert deliver(lake, "runa", both) == []
        assert (len(up.posted), len(down.posted)) == (1, 1)
    assert up.posted[0]["title"] == "[LLM Twin] runa: critical: voice"
    assert up.posted[0]["type"] == "failure"
    assert f"Look: {LINK}" in up.posted[0]["message"]


def test_an_address_that_apprise_does_not_know_is_named_by_its_beginning(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    odd = settings(tmp_path, alert_urls=["pigeon://coop/very-secret"])
    look(lake, 0, alert("voice"), to=tuple(channels(odd)))
    [problem] = deliver(lake, "runa", odd)
    assert "no address that begins with 'pigeon'" in problem
    assert "very-secret" not in problem


def test_without_channels_alerts_are_kept_all_the_same(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    assert channels(settings(tmp_path)) == []
    look(lake, 0, alert("voice"), to=())
    assert deliver(lake, "runa", settings(tmp_path)) == []
    assert set(open_alerts(batches(lake, "runa"))) == {"voice"}


def test_a_mail_server_that_is_away_is_a_problem_in_words(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    away = settings(tmp_path, alert_email_to=["ada@example.org"], smtp_host="127.0.0.1", smtp_port=9, smtp_user="ada", smtp_password="very-secret")  # fmt: skip
    look(lake, 0, alert("voice"), to=("email",))
    [problem] = deliver(lake, "runa", away)
    assert "The e-mail can't be sent (ConnectionRefusedError)" in problem
    assert "very-secret" not in problem
    with pytest.raises(KeyError):
        lake.read("alerts/runa/00000002.json")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_encrypted_to_a_server_that_is_trusted_and_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    lake, certificate = LocalLake(tmp_path / "lake"), loopback_certificate(tmp_path)
    with SmtpDouble(certificate, security) as mail:
        given = settings(
            tmp_path, alert_email_to=["ada@example.org"], smtp_host="127.0.0.1", smtp_port=mail.port, smtp_user="ada",
            smtp_password="very-secret", smtp_security=security,
        )  # fmt: skip
        look(lake, 0, alert("voice"), to=("email",))
        [problem] = deliver(lake, "runa", given)
        assert "SSLCertVerificationError" in problem
        assert (mail.messages, mail.logins) == ([], [])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert deliver(lake, "runa", given) == []
        assert [m["Subject"] for m in mail.messages] == ["[LLM Twin] runa: warning: voice"]
        assert mail.logins == ["\0ada\0very-secret"]


def test_mail_is_not_sent_in_the_clear_to_a_server_that_wants_tls(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    with SmtpDouble(loopback_certificate(tmp_path)) as mail:
        given = settings(
            tmp_path, alert_email_to=["ada@example.org"], smtp_host="127.0.0.1", smtp_port=mail.port
        )
        look(lake, 0, alert("voice"), to=("email",))
        [problem] = deliver(lake, "runa", given)
        assert "TWIN_SMTP_HOST, PORT, USER, PASSWORD and SECURITY" in problem
        assert mail.messages == []
