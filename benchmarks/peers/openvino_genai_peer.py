"""OpenVINO GenAI as a peer engine: `python openvino_genai_peer.py MODEL.gguf [PROPERTY=VALUE ...]`, where openvino-genai
is installed. What it computes in and keeps its cache in are properties: INFERENCE_PRECISION_HINT, KV_CACHE_PRECISION.
"""

import sys

import numpy as np
import openvino
import openvino_genai
from worker import REPETITION_PENALTY, TEMPERATURE, TOP_K, TOP_P, serve

scheduler = openvino_genai.SchedulerConfig()
scheduler.max_num_batched_tokens, scheduler.max_num_seqs = 2048, 64  # prompts read in one go, as ours
scheduler.cache_size = 1  # GB
scheduler.enable_prefix_caching = False
properties = dict(option.split("=", 1) for option in sys.argv[2:])
pipeline = openvino_genai.ContinuousBatchingPipeline(sys.argv[1], scheduler, "CPU", properties)


def write(prompts: list[list[int]], tokens: int) -> list[int]:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos, config.do_sample = tokens, True, True
    config.temperature, config.top_k, config.top_p = TEMPERATURE, TOP_K, TOP_P
    config.repetition_penalty = REPETITION_PENALTY
    inputs = [openvino.Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
    results = pipeline.generate(inputs, [config] * len(prompts))
    return [len(result.m_generation_ids[0]) for result in results]


serve(write)
