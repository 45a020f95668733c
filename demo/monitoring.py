"""`twin demo-monitoring`: three weeks of production, with a bad release, a day that costs too much,
topics that drift and a persona who writes otherwise; prints what was told, and where to look."""

import json
import shutil
import time

from demo.replay import PERSONA, Replay, Seen, replay_in
from demo.sites.answers import Answer
from demo.sites.loopback import Loopback
from twin_assets.monitoring.alerts.lifecycle import subject
from twin_assets.monitoring.drift.plots import drift_plot
from twin_assets.monitoring.drift.report import FAMILIES
from twin_assets.monitoring.report.page import report_key
from twin_assets.settings import ROOT

HOME = ROOT / ".twin" / "demo-monitoring"


class Receiver(Loopback):
    """The webhook that gets the alerts."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, str]] = []

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        self.messages.append(json.loads(body))
        return Answer.text("ok")


def replay_weeks() -> bool:
    """Run the replay in a folder of its own; whether rebuild and alerts came as planted."""
    shutil.rmtree(HOME, ignore_errors=True)
    start = time.monotonic()
    with Receiver() as hook, replay_in(HOME, alert_webhook_url=f"{hook.address}/alerts") as replay:
        print("Three weeks of requests to the twin of 'runa', day by day:\n", flush=True)
        seen = replay.run(_say)
        rebuilds = [key for s in seen for key in s.rebuilds]
        print(f"\n{len(hook.messages)} messages reached the webhook; the first with text:\n")
        print("\n".join(f"    {line}" for line in hook.messages[0]["text"].splitlines()))
        print(
            f"\nRebuilds asked for: {', '.join(rebuilds) or 'none'}. A person would approve what they bring."
        )
        _say_marts(replay)
        print(
            f"Plots: {_plots(replay)}\nTook {time.monotonic() - start:.0f} s, {time.process_time():.0f} of them of processor here."
        )
    return len(rebuilds) == 1


def _say(seen: Seen) -> None:
    told = (
        subject(seen.message).removeprefix(f"[LLM Twin] {PERSONA}: ")
        if seen.message and seen.message.told
        else ""
    )
    asked = f"  → rebuild {', '.join(seen.rebuilds)}" if seen.rebuilds else ""
    print(f"  day {seen.day + 1:>2}, {seen.at:%a %d %b}  {told}{asked}", flush=True)


def _say_marts(replay: Replay) -> None:
    marts = replay.marts()
    print("\nThe marts in the warehouse, built by dbt. The last answer:\n")
    for name, value in marts["requests"][0].items():
        print(f"    {name:<16} {value}")
    print("\nThe releases:\n")
    for row in marts["releases"]:
        print(
            f"    {row['model']}: {row['state']}{', in production' if row['is_production'] else ''}; "
            f"{row['requests']} requests for ${row['cost_usd']:.2f}"
        )
    page = replay.platform.lake.uri(report_key(PERSONA))
    print(f"\nThe report: {page}")


def _plots(replay: Replay) -> str:
    folder = HOME / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    report = replay.report()
    for family in FAMILIES:
        (folder / f"{family}.png").write_bytes(drift_plot(report.signals, family))
    return str(folder)
