"""S3 on loopback: moto's server, which speaks its wire format."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from twin_assets.core.lake import S3Lake

KEYS_OF_A_STRANGER = {
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "region_name": "us-east-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """The server's address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_client(url: str) -> Any:
    return boto3.client("s3", endpoint_url=url, **KEYS_OF_A_STRANGER)  # type: ignore[call-overload]


def s3_lake(url: str, folder: Path) -> S3Lake:
    """A lake in a bucket named after `folder`, mirrored below it."""
    client, bucket = s3_client(url), folder.name.replace("_", "-").lower()
    client.create_bucket(Bucket=bucket)
    return S3Lake(client, bucket, "some/prefix", folder / "mirror")
