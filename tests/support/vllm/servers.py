"""vLLM servers for tests: the double, or a real one where `TWIN_TEST_VLLM` names its executable (`make test-vllm`)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from tests.core.models.tiny_llama import TEMPLATE, tiny_llama
from tests.support.machine import free_port, until
from tests.support.models import PUBLIC, lineage
from twin_assets.core.models.registry import BaseRef, ModelVersion, Registry

KEY = "sesame-1234"
DOUBLE = Path(__file__).parent / "double.py"
REAL = os.environ.get("TWIN_TEST_VLLM", "")
OPTIONS = ["--max-model-len", "128", "--dtype", "bfloat16", "--enforce-eager", "--max-loras", "4"]
# Of the real one on a machine with two cores; the double doesn't know them.
SMALL = {
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip


def executable() -> list[str]:
    return [REAL] if REAL else [sys.executable, str(DOUBLE)]


class VllmProcess:
    """A server as a context manager, which can be killed, frozen and started again on its port."""

    def __init__(
        self,
        model: Path,
        log: Path,
        rank: int = 16,
        lora: bool = True,
        updating: bool = True,
        pace: float = 0.002,
        loading: float = 0.0,
    ) -> None:
        self.port, self.model, self._log = free_port(), model, log
        options = ["--enable-lora", "--max-lora-rank", str(rank)] if lora else []
        self._options = [
            "--port",
            str(self.port),
            "--host",
            "127.0.0.1",
            "--api-key",
            KEY,
            *options,
            *OPTIONS,
        ]
        self._environment = os.environ | SMALL | {
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": str(updating), "VLLM_DOUBLE_PACE": str(pace),
            "VLLM_DOUBLE_LOADING": str(loading),
        }  # fmt: skip
        self._environment.pop("PYTHONPATH", None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.begin()
        return self.wait()

    def begin(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*executable(), "serve", str(self.model), *self._options],
                stdout=log, stderr=log, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> Self:
        until(self._answers, "the vLLM server")
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.killpg(self._process.pid, number)

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self.thaw()
            self.kill()

    def running(self) -> float:
        """Texts that it writes at this moment."""
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:num_requests_running{")
        )

    def names(self) -> list[str]:
        """Adapters that it holds."""
        told = httpx.get(f"{self.url}/v1/models", headers={"Authorization": f"Bearer {KEY}"}, timeout=10)
        return [m["id"] for m in told.json()["data"] if m["parent"]]

    def ask(self, route: str, **body: Any) -> httpx.Response:
        """As somebody else would who has the key."""
        return httpx.post(f"{self.url}/v1/{route}", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)  # fmt: skip


def make_base(folder: Path, seed: int = 0) -> Path:
    """A Llama with random weights that knows sixty words; of a shape that vLLM's attention on CPUs takes."""
    return tiny_llama(
        folder,
        seed,
        "bfloat16",
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )


def make_adapter(folder: Path, base: Path, rank: int = 4, seed: int = 0, template: str = TEMPLATE) -> Path:
    """A LoRA adapter that changes much of what the base writes, beside the tokenizer that it was trained with."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    layer = "base_model.model.model.layers.0.self_attn"
    weights = {}
    for module in ("q_proj", "v_proj", "o_proj"):
        weights[f"{layer}.{module}.lora_A.weight"] = torch.randn(rank, 64)
        weights[f"{layer}.{module}.lora_B.weight"] = torch.randn(64, rank)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base), "r": rank, "lora_alpha": 2 * rank,
        "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "v_proj", "o_proj"], "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def save_adapter(
    registry: Registry, scratch: Path, base: ModelVersion, number: int, persona: str = "runa", **options: Any
) -> ModelVersion:
    folder = make_adapter(scratch / f"{persona}{number}", base.path, seed=number, **options)
    made_from = lineage("dpo", base.tag, number, persona=persona)
    return registry.save(
        folder, made_from, about=PUBLIC, base=BaseRef(tag=base.tag, weights_hash=base.weights_hash)
    )
