"""What S3 refuses, and what is no S3, is said by the thing and its fix; no key stands in it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine import free_port
from tests.support.models import lineage, save
from tests.support.s3_double import BadLine, s3_server
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.bucket import Bucket
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.storage.s3 import StorageError, s3_client
from twin_assets.settings import Settings


def error(code: str, message: str, more: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}'
        "<Resource>/twin/prod/x</Resource><RequestId>17F3</RequestId></Error>"
    )


SECRET = "AKIAIOSFODNN7EXAMPLE"
# Status and words of the servers, and what is said of them.
WORDS = {
    "a wrong key": (403, error("InvalidAccessKeyId", "The access key ID you provided does not exist in our records.", f"<AWSAccessKeyId>{SECRET}</AWSAccessKeyId>"), r"does not know this key: \w+ x .*InvalidAccessKeyId.*set AWS_ACCESS_KEY_ID"),
    "a wrong secret": (403, error("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."), r"does not know this key.*set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "an expired session": (400, error("ExpiredToken", "The provided token has expired."), "the session expired.*log in again"),
    "a wrong token": (400, error("InvalidToken", "The provided token is malformed or otherwise invalid."), "the session expired.*AWS_SESSION_TOKEN"),
    "another clock": (403, error("RequestTimeTooSkewed", "The difference between the request time and the server's time is too large."), "another time than this machine.*set the clock"),
    "a key that may not": (403, error("AccessDenied", "Access Denied."), "forbids it to this key.*let the key list the bucket"),
    "no such bucket": (404, error("NoSuchBucket", "The specified bucket does not exist", "<BucketName>twin</BucketName>"), "no bucket of that name.*TWIN_LAKE_URL"),
    "a wrong region, by its signature": (400, error("AuthorizationHeaderMalformed", "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'", "<Region>eu-west-1</Region>"), "another region.*AWS_DEFAULT_REGION"),
    "a server that sends elsewhere": (301, error("PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint."), "sends every request elsewhere.*https://.*AWS_DEFAULT_REGION"),
    "a full store": (507, error("XMinioStorageFull", "Storage backend has reached its minimum free drive threshold. Please delete a few objects to proceed."), "is full.*make room"),
    "a full bucket": (400, error("XMinioAdminBucketQuotaExceeded", "Bucket quota exceeded"), "is full.*quota"),
    "a busy store": (503, error("SlowDown", "Please reduce your request rate."), "failed: .*SlowDown, after 4 attempts.*try again later"),
    "an ill store": (500, error("InternalError", "We encountered an internal error, please try again."), "failed: .*InternalError.*try again later"),
    "a web server": (404, "<html><head><title>404 Not Found</title></head><body><center><h1>404 Not Found</h1></center><hr><center>nginx</center></body></html>", "is no S3: .*set TWIN_S3_ENDPOINT_URL"),
    "a server of TLS": (400, "Client sent an HTTP request to an HTTPS server.\n", "is no S3: .*set TWIN_S3_ENDPOINT_URL"),
    "a server of other methods": (405, "", "is no S3: .*set TWIN_S3_ENDPOINT_URL"),
    "what nobody knows": (418, error("ImATeapot", "short and stout"), r"refused: .*ImATeapot, status 418.*server's log"),
}  # fmt: skip


@pytest.fixture(scope="module")
def line() -> Iterator[BadLine]:
    with s3_server() as server, BadLine(server) as made:
        yield made


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def settings(home: Path, endpoint: str, **more: Any) -> Settings:
    return Settings(
        home=home,
        lake_url="s3://twin/prod",
        registry_url="s3://twin/models",
        s3_endpoint_url=endpoint,
        **more,
    )


@pytest.mark.parametrize("case", WORDS)
def test_every_refusal_has_its_sentence_and_fix_whatever_was_asked(
    case: str, line: BadLine, tmp_path: Path
) -> None:
    status, body, said = WORDS[case]
    line.says = status, body
    lake = open_lake(settings(tmp_path, line.url))
    acts = [
        lambda: lake.read("x"), lambda: lake.write("x", b""), lambda: lake.create("x", b""), lambda: list(lake.keys("x")),
        lambda: lake.delete("x"), lambda: lake.local("x"), lambda: lake.update("x", lambda data: data), lambda: lake.check(),
        lambda: lake.read_if_changed("x", '"mark"'), lambda: Bucket(settings(tmp_path, line.url)).check(),
    ]  # fmt: skip
    for act in acts[:2] if status >= 500 or status == 301 else acts:  # those are tried again
        with pytest.raises(StorageError, match=said.replace(r"\w+ x ", "")) as told:
            act()
        assert SECRET not in str(told.value)
    line.says = None


def test_a_page_that_is_answered_with_200_is_no_object(line: BadLine, tmp_path: Path) -> None:
    line.says = 200, "<!doctype html><html><body>Sign in to the wireless network</body></html>"
    lake = open_lake(settings(tmp_path, line.url))
    for act in (lambda: lake.read("x"), lambda: lake.read_if_changed("x", None)):
        with pytest.raises(StorageError, match="is no S3"):
            act()
    line.says = None


def test_models_are_pushed_and_pulled_with_the_same_words(line: BadLine, tmp_path: Path) -> None:
    here = settings(tmp_path, line.url)
    s3_client(here).create_bucket(Bucket="twin")
    Bucket(here).push(
        save(Registry(here), tmp_path / "first", lineage("dpo", number=2))
    )  # whose it is, is known then
    version = save(Registry(here), tmp_path / "weights", lineage("dpo", number=1))
    line.says, line.only = WORDS["a full store"][:2], "PUT"
    with pytest.raises(StorageError, match=r"is full: store models/twin-runa-dpo/.*make room"):
        Bucket(here).push(version)
    line.says = None
    Bucket(here).push(version)
    line.says, line.only = WORDS["a key that may not"][:2], "HEAD"  # a download asks for the size first
    with pytest.raises(StorageError, match=r"forbids it to this key: hand out models/twin-runa-dpo/"):
        Bucket(here).pull(version.tag, tmp_path / "pulled")
    line.says = line.only = None


@pytest.mark.parametrize(
    "endpoint", ["localhost:9000", "minio", "ftp://minio:9000", "http://", "http://[::1", "s3://twin"]
)
def test_an_endpoint_that_is_no_address_is_told_before_anything_is_sent(
    endpoint: str, tmp_path: Path
) -> None:
    with pytest.raises(
        StorageError, match=r"TWIN_S3_ENDPOINT_URL=.* is no address .*http://minio\.example:9000"
    ):
        open_lake(settings(tmp_path, endpoint))


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    lake = open_lake(settings(tmp_path, f"http://ines:secret@127.0.0.1:{free_port()}"))
    with pytest.raises(StorageError, match=r"gave no answer to: read x.*see that it runs") as told:
        lake.read("x")
    assert "secret" not in str(told.value)
    lake = open_lake(settings(tmp_path, "http://no.such.host.invalid:9000"))
    with pytest.raises(StorageError, match="gave no answer to: read x"):
        lake.read("x")


def test_tls_where_there_is_none_is_told(
    line: BadLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = open_lake(settings(tmp_path, line.url.replace("http://", "https://")))
    with pytest.raises(StorageError, match=r"speaks no TLS: read x.*AWS_CA_BUNDLE"):
        lake.read("x")


def test_without_a_key_it_is_said_how_to_set_one(
    line: BadLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match=r"no key to ask S3.*set AWS_ACCESS_KEY_ID"):
        open_lake(settings(tmp_path, line.url)).read("x")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageError, match=r"No S3 client can be made .*nobody"):
        open_lake(settings(tmp_path, line.url))


def test_a_bucket_that_no_bucket_may_be_called_is_told(line: BadLine, tmp_path: Path) -> None:
    lake = open_lake(settings(tmp_path, line.url).model_copy(update={"lake_url": "s3://My_Bucket!/x"}))
    with pytest.raises(StorageError, match=r"can't be asked to read x.*lower-case letters"):
        lake.read("x")
