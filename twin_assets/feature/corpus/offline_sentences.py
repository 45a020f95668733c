"""Lets unstructured work without the web: it would download a spaCy model to count sentences."""

from functools import cache


@cache
def give_unstructured_a_pipeline() -> None:
    """A blank English pipeline that splits sentences by rule, where the trained model is absent."""
    import spacy
    from unstructured.nlp import tokenize

    if spacy.util.is_package("en_core_web_sm"):
        return
    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    tokenize._load_spacy_model = lambda: pipeline
