"""Whether an answer says what its passages say."""

from twin_assets.feature.keyphrases import content_words


def k_precision(answer: str, passages: str) -> float:
    """Share of an answer's content words that stand in the passages; 0 without any.

    K-Precision, the measure nearest to people's judgement of faithfulness in Adlakha et al., "Evaluating
    Correctness and Faithfulness of Instruction-Following Models for Question Answering" (2023).
    """
    words, known = content_words(answer), set(content_words(passages))
    return sum(w in known for w in words) / len(words) if words else 0.0
