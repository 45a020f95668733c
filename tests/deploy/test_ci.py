"""What CI runs, on a machine that lacks what it would install."""

import shutil
import subprocess
from pathlib import Path

from twin_assets.settings import ROOT


def test_what_can_not_be_installed_is_told_and_the_tests_run(tmp_path: Path) -> None:
    for program in ("bash", "id", "ls", "dirname"):
        found = shutil.which(program)
        assert found
        (tmp_path / program).symlink_to(found)
    for name, does in {"apt-get": '[ "$1" = update ]', "sudo": 'exec "$@"', "make": 'echo "made $@"'}.items():
        (tmp_path / name).write_text(f"#!{tmp_path}/bash\n{does}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / "bash", ROOT / ".ci" / "run"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "chromium could not be installed: the tests that want it will say that they did not run"
        in done.stdout
    )
    assert "made test\n" in done.stdout
