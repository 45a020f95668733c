"""`twin doctor`: what is wrong with this installation, and how to mend it."""

import json

import typer

from twin_assets.cli.base import AsJson, command, read_settings

MARKS = {"ok": "✓", "note": "·", "wrong": "✗"}


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command to the whole."""
    command(app, "twin doctor", "twin doctor --json", panel=panel)(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Looks at packages, disk, ports, lake, personas, index, engine, tokens and profile, and says how to mend what is wrong.

    A line with ✗ stops something, and makes the status 1; one with · is good to know. Tokens are tried where they are for:
    GitHub, GitLab and the hub are asked who they belong to. Nothing is shown of them.
    """
    from twin_assets.cli.doctor.looks import Finding, look_at_all

    settings = read_settings()
    findings: list[Finding] = []
    for finding in look_at_all(settings):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{MARKS[finding.state]} {finding.look + ':':<10} {finding.says}")
            if finding.fix:
                typer.echo(f"{'':<13}fix: {finding.fix}")
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=2, ensure_ascii=False))
    raise typer.Exit(1 if any(finding.state == "wrong" for finding in findings) else 0)
