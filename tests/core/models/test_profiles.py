"""One name chooses family, size and method."""

import pytest

from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import TemplateFix, load_families
from twin_assets.core.models.profiles import Gate, load_profile, profile_names

# Parameters as the repositories' safetensors state them, in the order of the families' files.
PUBLISHED = {
    "llama-small": 1_235_814_400, "llama-8b": 8_030_261_248, "llama-70b": 70_553_706_496,
    "mistral-8b": 8_019_808_256, "mistral-14b": 12_247_782_400, "mistral-32b": 23_572_403_200,
    "qwen-small": 596_049_920, "qwen-8b": 8_190_735_360, "qwen-14b": 14_768_307_200, "qwen-32b": 32_762_123_264,
}  # fmt: skip
# As transformers counts the language model of each configuration, without its towers.
COUNTED = {
    "gemma-small": 999_885_952, "gemma-8b": 3_880_263_168, "gemma-14b": 11_766_034_176, "gemma-32b": 27_009_346_304,
    "gptoss-14b": 20_914_757_184, "llama4-70b": 107_769_861_120, "smollm3-small": 3_075_098_624,
    "ministral-small": 3_429_006_336, "ministral-8b": 8_489_553_920, "ministral-14b": 13_506_073_600,
    "qwen35-small": 752_393_024, "qwen35-8b": 8_953_803_264, "qwen35-32b": 26_895_998_464,
}  # fmt: skip


def test_family_and_size_change_with_one_name() -> None:
    assert load_profile("qwen-8b").base_model == "Qwen/Qwen3-8B"
    assert load_profile("llama-8b").base_model == "meta-llama/Llama-3.1-8B-Instruct"
    assert load_profile("llama-70b").base_model == "meta-llama/Llama-3.3-70B-Instruct"
    assert (load_profile("nano").base_model, load_profile("nano").family) == ("nano", None)


def test_what_is_left_out_is_the_default() -> None:
    assert load_profile("small") == load_profile("qwen-small") == load_profile("qwen-small-lora")
    assert load_profile("32b").method == "qlora"
    other = load_profile("llama-8b-qlora")
    assert (other.name, other.method, other.base_name) == ("llama-8b-qlora", "qlora", "llama-8b")


def test_every_profile_is_known_by_its_own_name() -> None:
    names = list(profile_names())
    assert [load_profile(name).name for name in names] == names
    assert {"nano", "smoke", "qwen-small", "llama-70b", "mistral-14b-full"} <= set(names)
    assert set(load_families()) == {
        "gemma", "gptoss", "llama", "llama4", "ministral", "mistral", "qwen", "qwen35", "smollm3",
    }  # fmt: skip


def test_a_family_offers_the_methods_that_its_layers_allow() -> None:
    assert load_profile("gptoss-14b").method == "lora"
    assert [name for name in profile_names() if name.startswith(("gptoss", "llama4"))] == [
        "gptoss-14b",
        "llama4-70b",
    ]
    with pytest.raises(TwinError, match="gptoss can't be trained with qlora") as refused:
        load_profile("gptoss-14b-qlora")
    assert refused.value.fix == "use one of: lora."


@pytest.mark.parametrize(
    ("name", "problem", "fix"),
    [
        ("huge", "no profile 'huge'", "nano, smoke, pocket, small, 8b"),
        ("mistral", "no profile 'mistral'", "such as llama-8b"),
        ("llama-14b", "llama has no model of the size 14b", "llama-small, llama-8b, llama-70b"),
        ("70b", "qwen has no model of the size 70b", "qwen-32b"),
        ("qwen-32b-full", "a method that the size 32b does not have", "qlora, lora"),
        ("llama-nano", "belongs to no family", "TWIN_PROFILE=nano"),
        ("", "no profile ''", "nano"),
    ],
)
def test_a_wrong_name_says_what_there_is(name: str, problem: str, fix: str) -> None:
    with pytest.raises(TwinError) as refused:
        load_profile(name)
    assert problem in refused.value.problem
    assert fix in refused.value.fix


def test_a_gate_of_before_is_read_under_its_old_name_and_both_names_at_once_are_refused() -> None:
    rest = {"max_copied_share": 0.3, "max_copied_words": 40, "min_refusal_rate": 0.5}
    assert Gate(**rest, min_margin_gain=0.1) == Gate(**rest, min_voice_gain=0.1)
    assert Gate(**rest, min_margin_gain=None).min_voice_gain is None
    with pytest.raises(TwinError, match="take min_margin_gain out") as refused:
        Gate(**rest, min_margin_gain=0.1, min_voice_gain=0.1)
    assert "min_voice_gain" in refused.value.problem


@pytest.mark.parametrize(("name", "parameters"), (PUBLISHED | COUNTED).items())
def test_shapes_give_the_published_number_of_parameters(name: str, parameters: int) -> None:
    shape = load_profile(name).architecture
    assert shape is not None
    assert shape.parameters == parameters


def test_a_token_uses_a_part_of_the_experts_and_memory_holds_all() -> None:
    shape = load_profile("gptoss-14b").architecture
    assert shape is not None
    assert 0.13 < shape.computed_parameters / (shape.linear_parameters + shape.expert_parameters) < 0.16


def test_a_fixed_template_is_not_fixed_again() -> None:
    fix = TemplateFix(prefix="{% set a = 1 %}", replace={"loop.last": "loop.first"})
    once = fix.apply("{% if loop.last %}x{% endif %}")
    assert once == "{% set a = 1 %}{% if loop.first %}x{% endif %}"
    assert fix.apply(once) == once
