"""Where alerts are sent to: a webhook (JSON), Slack (its incoming webhooks), e-mail (SMTP), and whatever Apprise knows (a hundred
services, from Discord to ntfy), as the settings say.

A channel that can't be reached keeps its message: the next look sends it again. Addresses hold secrets, so no error
shows one.
"""

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage

import apprise
import httpx

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.storage.lake import Lake
from twin_assets.monitoring.alerts.lifecycle import Batch, batches, body, mark_delivered, subject, worst
from twin_assets.settings import Settings

SECONDS = 10.0

Channel = Callable[[Settings, Batch], None]


def channels(settings: Settings) -> list[str]:
    """Names of the channels that are set."""
    configured = {
        "webhook": settings.alert_webhook_url is not None,
        "slack": settings.alert_slack_url is not None,
        "email": bool(settings.alert_email_to),
    }
    return [*(name for name, is_set in configured.items() if is_set), *_addresses(settings)]


def deliver(lake: Lake, persona: str, settings: Settings) -> list[str]:
    """Send what waits, oldest first; problems in words, none when all went well. What no channel takes any more,
    because its setting is gone, is dropped."""
    problems = []
    for batch in batches(lake, persona):
        left = batch
        for name in batch.pending:
            try:
                if name in _addresses(settings):
                    _to_apprise(_addresses(settings)[name], batch)
                elif name in channels(settings):
                    _SEND[name](settings, batch)
            except TwinError as error:
                problems.append(f"message {batch.number}: {error}")
            else:
                left = mark_delivered(lake, left, name)
    return problems


def _addresses(settings: Settings) -> dict[str, str]:
    """Addresses of Apprise by the names of their channels, which show the service and no more of them."""
    urls = [url.get_secret_value() for url in settings.alert_urls]
    return {f"{url.partition('://')[0]}:{fingerprint(url, 8)}": url for url in urls}


def _to_apprise(url: str, batch: Batch) -> None:
    """https://github.com/caronc/apprise/wiki; it waits for four seconds at most, twice."""
    service = url.partition("://")[0]
    plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if plugin is None:
        raise TwinError(
            f"Apprise knows no address that begins with {service[:20]!r} and is written so (TWIN_ALERT_URLS).",
            "write it as the list of services in Apprise's documentation has it; it is tried again.",
        )
    kind = _KIND_OF[worst(batch)] if batch.opened or batch.repeated else apprise.NotifyType.SUCCESS
    sender = apprise.Apprise()
    sender.add(plugin)
    text = body(batch)
    if not sender.notify(
        body=text, title=subject(batch), notify_type=kind, body_format=apprise.NotifyFormat.TEXT
    ):
        raise TwinError(
            f"{plugin.service_name} did not take it, or can't be reached.",
            f"check the {service}:// address in TWIN_ALERT_URLS; it is tried again.",
        )


def _post(url: str, payload: object, name: str, setting: str) -> None:
    try:
        answer = httpx.post(url, json=payload, timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TwinError(
            f"The {name} can't be reached ({type(error).__name__}).", f"check {setting}; it is tried again."
        ) from None
    if not answer.is_success:
        raise TwinError(f"The {name} answered {answer.status_code}.", f"check {setting}; it is tried again.")


def _to_webhook(settings: Settings, batch: Batch) -> None:
    assert settings.alert_webhook_url is not None
    payload = batch.model_dump(mode="json", exclude={"pending"}) | {
        "id": f"{batch.persona}-{batch.number}",
        "subject": subject(batch),
        "text": body(batch),
    }
    _post(settings.alert_webhook_url.get_secret_value(), payload, "webhook", "TWIN_ALERT_WEBHOOK_URL")


def _to_slack(settings: Settings, batch: Batch) -> None:
    """https://api.slack.com/messaging/webhooks; the three signs that Slack reads as markup are escaped."""
    assert settings.alert_slack_url is not None
    text = f"*{_plain(subject(batch))}*\n{_plain(body(batch))}"
    _post(
        settings.alert_slack_url.get_secret_value(), {"text": text}, "Slack webhook", "TWIN_ALERT_SLACK_URL"
    )


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _to_email(settings: Settings, batch: Batch) -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = subject(batch), settings.smtp_from or settings.alert_email_to[0]
    message["To"] = ", ".join(settings.alert_email_to)
    # The same message again has the same id, so that a mailbox can tell.
    message["Message-ID"] = f"<{batch.persona}-{batch.number}-{batch.at:%Y%m%d%H%M%S}@llm-twin>"
    message.set_content(body(batch))
    try:
        with _connected(settings) as server:
            if settings.smtp_security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.smtp_user and settings.smtp_password:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise TwinError(
            f"The e-mail can't be sent ({type(error).__name__}).",
            "check TWIN_SMTP_HOST, PORT, USER, PASSWORD and SECURITY; it is tried again.",
        ) from None


def _connected(settings: Settings) -> smtplib.SMTP:
    where = settings.smtp_host, settings.smtp_port
    if settings.smtp_security == "tls":
        return smtplib.SMTP_SSL(*where, timeout=SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(*where, timeout=SECONDS)


_KIND_OF = {
    "critical": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
    "notice": apprise.NotifyType.INFO,
}
_SEND: dict[str, Channel] = {"webhook": _to_webhook, "slack": _to_slack, "email": _to_email}
