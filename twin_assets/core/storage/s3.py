"""The S3 client of the platform: how long it waits for an answer, and what it says when none comes or S3 refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings

# Of a request, which botocore's standard mode tries again after a pause that is drawn at random and grows.
CONNECT_SECONDS, ATTEMPTS = 5.0, 4
# A server may take its time to put the parts of a model's file together.
MODEL_SECONDS = 60.0

ENDPOINT = "TWIN_S3_ENDPOINT_URL"
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile, or the role of this machine"
# By S3's own code: what is wrong, and what mends it. Codes of AWS, MinIO and SeaweedFS.
_REFUSALS: dict[frozenset[str], tuple[str, str]] = {
    frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"}): ("does not know this key", f"set {_KEYS}."),
    frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"}): (
        "finds the session expired",
        "log in again, so that AWS_SESSION_TOKEN and its two keys are of a session that holds.",
    ),
    frozenset({"RequestTimeTooSkewed", "RequestExpired"}): (
        "has another time than this machine",
        "set the clock of this machine, or of the server.",
    ),
    frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState", "403"}): (
        "forbids it to this key",
        "let the key list the bucket, and read, write and delete below the prefix.",
    ),
    frozenset({"NoSuchBucket"}): (
        "has no bucket of that name",
        "make the bucket, or name another in TWIN_LAKE_URL or TWIN_REGISTRY_URL.",
    ),
    frozenset({"InvalidBucketName"}): (
        "takes no bucket of that name",
        "use 3 to 63 lower-case letters, digits, dots and hyphens in TWIN_LAKE_URL or TWIN_REGISTRY_URL.",
    ),
    frozenset(
        {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307",
         "IllegalLocationConstraintException", "InvalidRegion"}
    ): ("keeps that bucket in another region", f"set AWS_DEFAULT_REGION to the bucket's region, and {ENDPOINT} too if it names one."),
    frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "507"}): (
        "is full",
        "make room there or raise the bucket's quota; what was stored before stays.",
    ),
}  # fmt: skip
_SAID = {code: said for codes, said in _REFUSALS.items() for code in codes}
# A status without a code of S3's beside it: no S3 says so.
_FOREIGN = {"400", "404", "405", "501"}


class StorageError(TwinError):
    """S3 did not do what it was asked: it can't be reached, refuses, or is no S3. What was stored before stays.

    It is `away` where it did not answer, or failed: then it may be well again in minutes.
    """

    def __init__(self, problem: str, fix: str, away: bool = False) -> None:
        super().__init__(problem, fix)
        self.away = away


def bucket_and_prefix(address: str) -> tuple[str, str] | None:
    """The two parts of `s3://bucket/prefix`, the prefix without slashes round it; None for another address."""
    scheme, _, rest = address.partition("://")
    bucket, _, prefix = rest.partition("/")
    return (bucket, prefix.strip("/")) if scheme == "s3" and bucket else None


def s3_client(
    settings: Settings, seconds: float | None = None, profile: str | None = None, **options: Any
) -> Any:
    """A boto3 S3 client. Nothing is sent yet.

    `seconds` are for an answer, those of the settings when absent; `options` are boto3's. Raises StorageError for an
    endpoint, a profile or a configuration that can't be used.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    waits = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=seconds or settings.s3_timeout,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        signature_version="s3v4",  # of signed addresses too, which boto3 signs as of old where it may
    )
    endpoint = options.pop("endpoint_url", None) or settings.s3_endpoint_url
    if endpoint is not None and not _is_address(endpoint):
        raise StorageError(
            f"{ENDPOINT}={_without_login(endpoint)!r} is no address of a server.",
            "write it whole, as in http://minio.example:9000 or https://s3.example.",
        )
    try:
        session = boto3.session.Session(profile_name=profile)
        return session.client("s3", endpoint_url=endpoint, config=waits, **options)
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"No S3 client can be made ({error}).", f"see {ENDPOINT} and {_KEYS}.") from None


@contextmanager
def answered(client: Any, act: str) -> Iterator[None]:
    """Say in words what S3 did not do when it was asked for `act`. Raises StorageError."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise explained(client, act, error) from None
    except RecursionError:  # botocore asks where it is sent to, and is sent there again
        raise StorageError(
            f"S3 at {_where(client)} sends every request elsewhere: {act} (status 301).",
            f"use https:// in {ENDPOINT} if it speaks TLS; set AWS_DEFAULT_REGION to the bucket's region.",
        ) from None


def explained(client: Any, act: str, error: Exception) -> StorageError:
    """What went wrong with `act`, by the thing and its fix: of a botocore or boto3 error, or of one that wraps it."""
    from botocore import exceptions as boto

    if not isinstance(error, boto.BotoCoreError | boto.ClientError):  # boto3's transfers hide the cause
        cause = getattr(error, "last_exception", None) or error.__context__
        if isinstance(cause, boto.BotoCoreError | boto.ClientError):
            return explained(client, act, cause)
    server, kind = f"S3 at {_where(client)}", type(error).__name__
    if isinstance(error, boto.ClientError):
        return _refused(client, act, error)
    if isinstance(
        error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError
    ):
        return StorageError(f"There is no key to ask {server} with: {act} ({kind}).", f"set {_KEYS}.")
    if isinstance(error, boto.TokenRetrievalError | boto.UnauthorizedSSOTokenError | boto.SSOTokenLoadError):
        return StorageError(f"The session for {server} has expired: {act} ({kind}).", "run `aws sso login`.")
    if isinstance(error, boto.SSLError):
        return StorageError(
            f"{server} has no certificate that is trusted here, or speaks no TLS: {act} ({kind}).",
            f"use http:// in {ENDPOINT} for a server without TLS; set AWS_CA_BUNDLE for one with its own authority.",
        )
    if isinstance(error, boto.ParamValidationError):
        return StorageError(
            f"{server} can't be asked to {act}: {_line(error)}.", *_SAID["InvalidBucketName"][1:]
        )
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | boto.IncompleteReadError):
        config = client.meta.config
        return StorageError(
            f"{server} gave no answer to: {act} ({kind}; it is waited {config.connect_timeout:g} s for a "
            f"connection, {config.read_timeout:g} s for an answer).",
            f"see that it runs and is reached from here ({ENDPOINT}); what was stored before stays.",
            away=True,
        )
    return StorageError(f"{server} can't be asked to {act}: {_line(error)}.", f"see {ENDPOINT} and {_KEYS}.")


def no_s3(client: Any, act: str) -> StorageError:
    """What answered gave no answer of S3's."""
    return StorageError(
        f"What answers at {_where(client)} is no S3: {act}.",
        f"set {ENDPOINT} to the server's S3 port; a console, a proxy or a web page has another.",
    )


def status_of(error: Any) -> int:
    """The HTTP status of a botocore ClientError; 0 for another error."""
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _refused(client: Any, act: str, error: Any) -> StorageError:
    server = f"S3 at {_where(client)}"
    code, status = str(error.response.get("Error", {}).get("Code", "")), status_of(error)
    if said := _SAID.get(code) or _SAID.get(str(status) if status in (301, 307, 507) else ""):
        return StorageError(f"{server} {said[0]}: {act} ({code}).", said[1])
    if code in _FOREIGN:
        return no_s3(client, f"{act} (status {code})")
    if status >= 500 or code in ("500", "SlowDown"):
        return StorageError(
            f"{server} failed: {act} ({code}, after {ATTEMPTS} attempts).",
            "try again later, and see the server's log if it stays so; what was stored before stays.",
            away=True,
        )
    return StorageError(f"{server} refused: {act} ({code}, status {status}).", "see the server's log.")


def _is_address(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _where(client: Any) -> str:
    return _without_login(client.meta.endpoint_url)


def _without_login(address: str) -> str:
    """The address without a name and password that someone wrote into it."""
    before, at, after = address.rpartition("@")
    return f"{before.partition('://')[0]}://{after}" if at else after


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
