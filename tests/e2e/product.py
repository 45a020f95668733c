"""An installation of its own for a test: its home, its environment, and the two commands people use."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.machine import free_port
from twin_assets.settings import ROOT, Settings


@dataclass
class Product:
    """With the `smoke` profile every stage is real and short; what the model writes is noise."""

    home: Path
    environment: dict[str, str]
    ports: dict[str, int]

    @classmethod
    def install(cls, home: Path) -> "Product":
        (home / "personas").mkdir()
        ports = {name: free_port() for name in ("TWIN_TWIN_PORT", "TWIN_LLM_PORT", "TWIN_DAGSTER_PORT")}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TWIN_")} | {
            "TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas"), "TWIN_PROFILE": "smoke", "TWIN_RELEASE_PLUMBING": "true",
            "TWIN_ALLOW_PRIVATE_HOSTS": "true", "TWIN_LINKEDIN_TOKEN": "demo", "TWIN_GITHUB_TOKEN": "demo",
            "OMP_WAIT_POLICY": "PASSIVE",
        } | {name: str(port) for name, port in ports.items()}  # fmt: skip
        return cls(home, environment, ports)

    @property
    def settings(self) -> Settings:
        return Settings(
            home=self.home, personas_dir=self.home / "personas", profile="smoke", release_plumbing=True
        )

    def run_walk(self, persona: str, *extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "twin_assets.cli", "run", persona, *extra]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    def walk(self, persona: str, *extra: str) -> str:
        """What the walk printed; the walk must succeed."""
        done = self.run_walk(persona, *extra)
        log = self.home / "logs" / f"{persona}.log"
        tail = log.read_text(errors="replace")[-4000:] if log.exists() else ""
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:] + tail
        return done.stdout
