"""A small corpus in which two texts touch a topic that none is about, and three share an idiom."""

from twin_assets.core.embedding.embedder import load_embedder, search_view
from twin_assets.core.records import EmbeddedChunk, Visibility

TOPIC = "Decca navigator"
# Name: title and text.
TEXTS = {
    "winter": ("Winter in the harbour", "We painted the hull of the Skua in March. In the long run a dry boat costs less. The old skipper swore by the Decca navigator for finding the buoys in fog."),
    "fog": ("Rowing home", "The fog came in at noon and stayed. The Decca navigator gave a position to a cable's length, and we trusted that more than the radar."),
    "bread": ("Bread at sea", "Flour keeps for six weeks in a tin. In the long run sourdough wins over yeast, since it needs no shop."),
    "taxes": ("Taxes for crews", "The tax office wants receipts of every diesel bill. In the long run an accountant is cheap."),
    "restores": ("Rehearsing restores", "We rehearse restores on Tuesdays. A backup that was never restored is a hope, and hope is no plan."),
    "sql": ("Plain SQL", "Plain SQL outlives every framework that promised to hide it from us. Views are the interface."),
    "tides": ("Tide tables", "The tide table for Stenna was a day old, since the import trusted the clock of another machine."),
    "import": ("A late import", "The import of the tide table failed at night and nobody saw the mail before breakfast."),
    "garden": ("Beans", "Beans want lime and no manure. The slugs ate the first row, the second stood in a bed of sand."),
    "choir": ("The choir", "On Thursdays we sing in the chapel, mostly Purcell, and the tenors are always late."),
}  # fmt: skip


def chunks(**closed: Visibility) -> list[EmbeddedChunk]:
    """A passage a text; `closed` says by name which are not public."""
    embedder = load_embedder("offline-minilm")
    made = [
        EmbeddedChunk(
            chunk_id=name, doc_id=f"doc-{name}", persona="runa", source="medium", category="article", url=f"https://runa.example/{name}",
            title=title, text=text, start=0, end=len(text), tokens=40, split="train", content_hash=name,
            visibility=closed.get(name, "public"), vector=[1.0], embedder=embedder.fingerprint,
        )
        for name, (title, text) in TEXTS.items()
    ]  # fmt: skip
    vectors = embedder.embed([search_view(chunk) for chunk in made])
    return [c.model_copy(update={"vector": v.tolist()}) for c, v in zip(made, vectors, strict=True)]
