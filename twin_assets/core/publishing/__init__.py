"""The ledger of posts: which text of which draft went where, when, by whom, and whether it is the author's own."""

from twin_assets.core.publishing.ledger import (
    AlreadyPosted,
    NoSuchPost,
    Outcome,
    Post,
    PostLedger,
)

__all__ = ["AlreadyPosted", "NoSuchPost", "Outcome", "Post", "PostLedger"]
