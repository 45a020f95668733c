"""Every place that texts are kept in, what takes them out of it, and what exports them. A new place is a line here, and nowhere else.

The order is that of an erasure: what is needed to find the others again, should it break off, goes last. A test holds
the folders of a used home against this list.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twin_assets.monitoring.erasure import documents, feedback, people, portable, requests
from twin_assets.monitoring.erasure.documents import DocumentErasure
from twin_assets.monitoring.erasure.people import PersonErasure
from twin_assets.monitoring.erasure.portable import PersonExport
from twin_assets.monitoring.erasure.requests import RequestErasure


@dataclass(frozen=True)
class Place:
    """`where`: folders or files below TWIN_HOME; `lake/` stands for the lake, on S3 for its bucket and its mirror on disk.

    `document` and `request` take one out and say how many rows, files or versions lost something; None says that the
    place was in use, and the hourly run does it. A place without them says in `holds` why nothing has to go. `person` takes
    all out that is a persona's, given `where`; None says that whoever deletes them does it again. `export` gives them what is
    theirs there, or says why nothing is; a place that a deletion empties has one.
    """

    name: str
    where: tuple[str, ...]
    holds: str
    document: Callable[[DocumentErasure], int | None] | None = None
    request: Callable[[RequestErasure], int | None] | None = None
    person: Callable[[PersonErasure, tuple[str, ...]], int | None] | None = None
    export: Callable[[PersonExport, tuple[str, ...]], None] | str = ""


PLACES = (
    Place("datasets", ("lake/datasets",), "rows of dataset versions, cards", documents.from_datasets, feedback.from_datasets, person=people.from_lake, export=portable.objects),
    Place("feedback", ("lake/feedback", "lake/feedback_reviews"), "reactions, pairs and reviews", documents.from_feedback, feedback.from_reactions, person=people.from_lake, export=portable.objects),
    Place("threads", ("lake/threads",), "talks that callers keep, with titles and passages", documents.from_threads, requests.from_threads, person=people.from_lake, export=portable.objects),
    Place("drafts", ("lake/drafts",), "texts that people write with the twin, every version", documents.from_drafts, requests.from_drafts, person=people.from_lake, export=portable.objects),
    Place("posts", ("lake/publishing",), "texts that were posted, which are out: an erasure takes a document's words out of the ledger", documents.from_posts, person=people.from_lake, export=portable.objects),
    Place("index", ("vectors", "weaviate"), "chunks with their words and vectors, and older versions of both", documents.from_index, person=people.from_index, export="made of the documents: their passages and vectors"),
    Place("reports", ("lake/reports", "lake/monitoring", "lake/experiments", "lake/alerts"), "evaluation examples, reports", documents.from_reports, person=people.from_lake, export=portable.objects),
    Place("scores", ("lake/scored_requests",), "figures of requests under their ids", None, requests.from_scores, person=people.from_lake, export=portable.objects),
    Place("dagster", ("dagster",), "samples in the event log, what runs printed", documents.from_dagster, person=people.from_dagster, export="what the platform did; what its runs made is exported from where it lies"),
    Place("tracker", ("wandb",), "reports that wait to be sent", documents.from_tracker, person=people.from_tracker, export="figures and samples that the reports have too"),
    Place("logs", ("logs",), "titles and addresses", documents.from_logs, person=people.from_logs, export="what the platform did, beside lines about others"),
    Place("runs", ("cache/training", "cache/rebuilds", "cache/search"), "rows as tokens, checkpoints, the author's and other people's writing that a reward is made of", documents.from_runs, person=people.from_runs, export="rows of the datasets as tokens, documents that a reward is made of, and checkpoints on the way to the models"),
    Place("answers_kept", ("cache/teacher.sqlite", "cache/judge.sqlite", "cache/requests.sqlite", "cache/sense.sqlite"), "what a teacher, a judge or the base model said", documents.from_answers_kept, person=people.from_answers_kept, export="what models said, of everybody together; what became of it is in the datasets"),
    Place("embeddings", ("cache/embeddings-",), "vectors by the hash of their text", documents.from_embeddings, person=people.from_embeddings, export="vectors of texts that are exported, of everybody together"),
    Place("crawl_parts", ("cache/crawl",), "what a killed crawl had fetched", documents.from_crawl_parts, person=people.from_crawl_parts, export="halves of crawls: what is whole is in the documents"),
    Place("uploads", ("uploads", "staging"), "exports that were brought", documents.from_uploads, person=people.from_uploads, export=portable.uploads),
    Place("features", ("lake/feature_store",), "documents, chunks and embeddings, every version", documents.from_features, person=people.from_lake, export="made of the documents, on the way to datasets and models"),
    Place("warehouse", ("warehouse.duckdb",), "documents with their history, requests without texts", documents.from_warehouse, requests.from_warehouse, person=people.from_warehouse, export="the same documents and requests as tables"),
    Place("requests", ("lake/requests",), "what was asked and answered", documents.from_log, requests.from_log, person=people.from_lake, export=portable.requests),
    Place("temporary", (".", "lake/."), "what a killed write left: `.name.random.tmp`", documents.from_temporary, person=people.from_temporary, export="halves of files"),
    Place("crawl_state", ("lake/state",), "ids and addresses of what is known", documents.from_crawl_state, person=people.from_lake, export="ids and addresses of what is in the documents"),
    Place("raw", ("lake/raw",), "every version of every document, the library's too", documents.from_raw, person=people.from_lake, export=portable.documents),
    Place("mirror", ("cache/lake-mirror",), "copies of the lake's objects: one goes when its object changes or goes"),
    Place("models", ("bentoml", "cache/whole"), "weights, which forget nothing: an erasure names the versions that learnt from it", person=people.from_models, export=portable.models),
    Place("erased", ("lake/erased",), "hashes and ids of what was erased, and when", person=people.from_lake, export="hashes and ids of what was erased for good"),
    Place(
        "figures",
        ("lake/ledger", "lake/blind_readings", "lake/access", "lake/watch", "lake/refresh", "lake/live_voices", "lake/embedders", "lake/paused", "lake/held", "cache/embedder", "cache/reference", "cache/hub", "cache/base_model.lock",
         "run", "search", "proposals", "ui_secret"),
        "events, keys' hashes, figures, models of others: no texts of documents or requests",
        person=people.from_figures,
        export=portable.releases,
    ),
    Place("deletions", ("lake/deletions",), "certificates of who was deleted: counts and no texts"),
)  # fmt: skip
