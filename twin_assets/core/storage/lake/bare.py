"""Reads of many small objects from S3 at little cost.

boto3 takes two milliseconds of CPU for an object, in one thread at a time, and a third of one to sign its address: its
rules of endpoints are followed for each. Here they are followed once for a bucket, and each address below it is signed by
botocore's signer and asked by the standard library's connection: a quarter of a millisecond in all.
"""

import http.client
import queue
import ssl
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import quote, urlsplit

SIGNED_SECONDS = 300  # for so long an address is good
_UNQUOTED = "/~"  # of a key, as botocore writes it in an address


class _Whole:
    """The body of an answer, which `read` of the standard library ends early without a word where the connection breaks."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    def read(self, length: int = -1, /) -> bytes:
        data = self._answer.read(length)
        if not data and self._answer.length:
            raise http.client.IncompleteRead(data, self._answer.length)
        return data


class BareReads:
    """Connections to the bucket of a boto3 S3 client, as many as threads read at a time. Raises botocore's errors where
    nothing can be signed."""

    def __init__(self, client: Any, bucket: str) -> None:
        named = {"Bucket": bucket, "Key": "k"}
        address = urlsplit(
            client.generate_presigned_url("get_object", Params=named, ExpiresIn=SIGNED_SECONDS)
        )
        self._host, self._over_tls = address.netloc, address.scheme == "https"
        self._folder = f"{address.scheme}://{address.netloc}{address.path.removesuffix('k')}"
        self._auth = client._request_signer.get_auth_instance(
            "s3", client.meta.region_name, "s3v4-query", expires=SIGNED_SECONDS
        )
        self._seconds = client.meta.config.read_timeout
        self._tls = ssl.create_default_context() if self._over_tls else None
        self._idle = queue.LifoQueue[http.client.HTTPConnection]()

    def copied(self, key: str, take: Callable[[_Whole], object]) -> bool:
        """Whether the object was answered well, and `take` has read it."""
        target = self._signed(key)
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._opened()
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            if answer.status != 200 or "ETag" not in answer.headers:  # a page for people has status 200 too
                connection.close()
                return False
            take(_Whole(answer))
        except (OSError, http.client.HTTPException):
            connection.close()
            return False
        self._idle.put(connection)
        return True

    def _signed(self, key: str) -> str:
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("GET", self._folder + quote(key, safe=_UNQUOTED))
        self._auth.add_auth(request)
        parts = urlsplit(request.url)
        return f"{parts.path}?{parts.query}"

    def _opened(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, timeout=self._seconds)
        return http.client.HTTPSConnection(self._host, timeout=self._seconds, context=self._tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().close()
