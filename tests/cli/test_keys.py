"""API keys from a terminal."""

import json
from pathlib import Path

from serving.access.keys import ACTIONS, DEFAULT_ACTIONS, Keys
from tests.cli.terminal import Terminal
from twin_assets.cli.main import app
from twin_assets.core.storage.lake import open_lake


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.declare("runa")
    keys = Keys(open_lake(terminal.settings))
    made = terminal.said(
        "keys", "create", "bot", "--persona", "runa", "--action", "write", "--per-minute", "5"
    )
    token = made.splitlines()[0]
    key = keys.find(token)
    assert key is not None
    assert (key.personas, key.actions, key.per_minute) == (["runa"], ["write"], 5)
    listed = terminal.said("keys", "list")
    assert "good  bot  runa  write  public" in listed
    assert token.rsplit("_", 1)[1] not in listed
    unknown = terminal.twin("keys", "create", "bot", "--persona", "nobody")
    assert (unknown.exit_code, "no persona nobody" in unknown.stderr) == (1, True)
    assert "audience connections" in terminal.said("keys", "create", "circle", "--audience", "connections")
    terminal.said("keys", "revoke", key.id)
    assert Keys(open_lake(terminal.settings)).find(token) is None
    assert terminal.twin("keys", "revoke", "feedbeef").exit_code == 1


def test_a_script_reads_keys_as_json_without_their_hashes(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    made = json.loads(terminal.said("keys", "create", "bot", "--json"))
    found = Keys(open_lake(terminal.settings)).find(made["key"])
    assert found is not None
    assert found.actions == list(DEFAULT_ACTIONS)
    terminal.said("keys", "create", "ill")
    ill = next(key for key in Keys(open_lake(terminal.settings)).all() if key.name == "ill")
    open_lake(terminal.settings).write(f"access/keys/{ill.id}.json", b"{")
    listed = json.loads(terminal.said("keys", "list", "--json"))
    assert [key.get("name") for key in listed] == ["bot", None]
    assert listed[1] == {"id": ill.id, "damaged": True}
    assert found.hash not in terminal.said("keys", "list", "--json")


def test_the_help_names_every_action() -> None:
    create = next(group for group in app.registered_groups if group.name == "keys").typer_instance
    assert create is not None
    action = create.registered_commands[0].callback.__annotations__["action"].__metadata__[0]  # type: ignore[union-attr]
    assert all(name in action.help for name in ACTIONS)
    without = action.help.partition("all but ")[2]
    assert all((name in without) == (name not in DEFAULT_ACTIONS) for name in ACTIONS)
