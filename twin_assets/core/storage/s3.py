"""The S3 client of the platform: how long it waits for an answer, and what it says when none comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 10.0, 60.0, 4


def bucket_and_prefix(address: str) -> tuple[str, str] | None:
    """The two parts of `s3://bucket/prefix`, the prefix without slashes round it; None for another address."""
    scheme, _, rest = address.partition("://")
    bucket, _, prefix = rest.partition("/")
    return (bucket, prefix.strip("/")) if scheme == "s3" and bucket else None


def s3_client(settings: Settings) -> Any:
    """A boto3 S3 client. Nothing is sent yet."""
    import boto3
    from botocore.config import Config

    waits = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return boto3.client("s3", endpoint_url=settings.s3_endpoint_url, config=waits)


@contextmanager
def answered(client: Any, act: str) -> Iterator[None]:
    """Say what was asked of whom when S3 can't be reached or doesn't answer in time. Raises TwinError."""
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    try:
        yield
    except (NoConnection, HTTPClientError, IncompleteReadError) as error:
        config = client.meta.config
        raise TwinError(
            f"S3 at {client.meta.endpoint_url} gave no answer to: {act} ({type(error).__name__}; it is waited "
            f"{config.connect_timeout:g} s for a connection, {config.read_timeout:g} s for an answer).",
            "see that it runs and is reached from here (TWIN_S3_ENDPOINT_URL); what was stored before stays.",
        ) from None
