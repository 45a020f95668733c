"""`twin` as a person at a terminal uses it, on a home of the test's own."""

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from twin_assets.cli.main import app
from twin_assets.core.persona.definition import save_persona
from twin_assets.settings import Settings


class Terminal:
    """Commands see this home and nothing of the machine's own settings."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.settings = Settings(home=home, personas_dir=home / "personas")
        self.settings.personas_dir.mkdir(parents=True, exist_ok=True)
        self.environment = {"TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas")}
        self.environment |= {f"TWIN_{name.upper()}": value for name, value in settings.items()}

    def twin(self, *words: str) -> Result:
        return CliRunner().invoke(app, words, env=self.environment, catch_exceptions=False, prog_name="twin")

    def said(self, *words: str) -> str:
        """What a command that must succeed prints to standard output."""
        result = self.twin(*words)
        assert result.exit_code == 0, (result.exit_code, result.output)
        return result.stdout

    def declare(self, name: str = "runa", **parts: object) -> None:
        """A persona's file."""
        save_persona(self.settings.personas_dir, {
            "name": name, "full_name": name.title(), "license": "CC-BY-4.0", "about": "Keeps the boats' data.",
        } | (parts or {"web": {"pages": ["https://runa.example/ferries"]}}))  # fmt: skip
