"""What the image of a built bento would be made of."""

from pathlib import Path

import yaml


def assert_only_pins_are_installed(bento: Path, hashes: str) -> None:
    """BentoML's own installation brings nothing with it, and is followed by that of the pins, by their hashes alone."""
    image = yaml.safe_load((bento / "bento.yaml").read_text())["image"]
    assert {line.partition("==")[0] for line in image["python_requirements"].split()} == {"bentoml"}
    assert (bento / "src" / hashes).is_file()
    made = (bento / "env" / "docker" / "Dockerfile").read_text()
    steps = [
        "no-deps = true",
        f"COPY --chown=bentoml:bentoml ./src/{hashes} ./src/{hashes}",
        "pip install -r $BENTO_PATH/env/python/requirements.txt",
        f"RUN uv pip install --require-hashes --reinstall-package bentoml -r src/{hashes}",
        "COPY --chown=bentoml:bentoml . ./",
    ]
    places = [made.index(step) for step in steps]
    assert places == sorted(places)
