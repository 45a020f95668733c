"""Reads of many small objects from S3 at little cost.

boto3 takes two milliseconds of CPU for an object, in one thread at a time: 5,000 of them take ten seconds, however many
threads ask. obstore asks and signs outside of Python, in a tenth of a millisecond.
"""

import os
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

SMALL_BYTES = 1_000_000


class _Runtime:
    """obstore's threads: who is forked of a process that has them has none, and would wait for them for ever."""

    begun = lost = False

    @classmethod
    def forked(cls) -> None:
        cls.lost = cls.begun


os.register_at_fork(after_in_child=_Runtime.forked)


class SmallReads:
    """Reads of small objects from the bucket of a boto3 S3 client, by any number of threads. Raises botocore's errors
    where there is no key to sign with."""

    def __init__(self, client: Any, bucket: str) -> None:
        # boto3 says where a bucket is: by its host's name or by the path, in which region, at whose server.
        address = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
        address = urlsplit(address)._replace(query="").geturl().removesuffix("/k")
        keys, waits = client._get_credentials().get_frozen_credentials(), client.meta.config
        self._store = S3Store(
            bucket,
            endpoint=address,
            virtual_hosted_style_request=True,  # the address names the bucket, wherever in it
            region=client.meta.region_name or "us-east-1",
            access_key_id=keys.access_key,
            secret_access_key=keys.secret_key,
            **({"session_token": keys.token} if keys.token else {}),
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=waits.connect_timeout),
                "timeout": timedelta(seconds=waits.read_timeout),
            },
            retry_config={"max_retries": 0},  # boto3 tries again, and explains
        )

    def read(self, key: str) -> bytes | None:
        """The whole object; None where it was not answered well, or can't be asked for in this process."""
        if _Runtime.lost:
            return None
        _Runtime.begun = True
        try:
            return obstore.get(self._store, key).bytes().to_bytes()
        except (BaseError, OSError):
            return None
