"""The bento files name services and files that exist, and take in nothing else."""

from pathlib import Path

import pytest
import yaml
from bentoml._internal.bento.build_config import BentoBuildConfig, BentoPathSpec

from twin_assets.settings import ROOT

FILES = sorted((ROOT / "deploy" / "bento").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_bento_holds_the_code_that_serves_and_no_tests(file: Path) -> None:
    told = yaml.safe_load(file.read_text())
    config = BentoBuildConfig.from_yaml(file.open()).with_defaults()
    module, service = told["service"].split(":")
    assert f"class {service}" in (ROOT / (module.replace(".", "/") + ".py")).read_text()
    taken = BentoPathSpec(config.include, config.exclude, str(ROOT))
    files = {
        str(path.relative_to(ROOT))
        for part in ("serving", "twin_assets", "personas", "training_configs", "tests", "demo", "deploy", "docs")
        for path in (ROOT / part).rglob("*")
        if path.is_file() and taken.includes(str(path.relative_to(ROOT)))
    }  # fmt: skip
    if file.stem == "vllm":  # an image of its own, with nothing of the platform but what starts it
        own = {"serving/llm/vllm/service.py", "serving/llm/vllm/leash.py"}
        assert {name for name in files if (ROOT / name).stat().st_size > 200} == own
        assert [name.split("==")[0] for name in config.python.packages] == ["bentoml", "vllm"]
        return
    assert {f"{module.replace('.', '/')}.py", "serving/web/index.html", "twin_assets/settings.py"} <= files
    assert {name.split("/")[0] for name in files} - {"deploy"} == {
        "serving",
        "twin_assets",
        "personas",
        "training_configs",
    }
    assert not [name for name in files if "__pycache__" in name]
    # The image is the service's own (serving/llm/image.py): what a bento file says of it BentoML would install beside, by no hash.
    assert not told.keys() & {"python", "docker"}
    assert taken.includes("deploy/serve/hashes.txt" if file.stem == "twin" else "hashes.txt")
