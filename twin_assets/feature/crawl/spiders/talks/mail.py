"""Mail: what the persona sent, from mailboxes on disk. Quotes, forwarded mail and signatures are taken off."""

from collections.abc import Iterator
from pathlib import Path

from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.talks.mail_text import Mail, is_nobody, read_mail
from twin_assets.feature.crawl.formats.talks.mailboxes import KINDS, MailEntry, read_mailbox
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider

# Letters; a longer mail is told like an article, a shorter one like a post.
_LONG = 800


class MailSpider(SourceSpider):
    name = "mail"
    unknown_fix = (
        f"name mailboxes in mail.files ({KINDS}), and in also_known_as the persona's e-mail addresses."
    )

    def begin(self) -> Answers:
        assert self.persona.mail
        self.chosen: set[str] = set()
        for path in self.persona.mail.files:
            try:
                for entry in read_mailbox(path):
                    yield from self._items(path, entry)
            except (ValueError, OSError) as error:
                self.fail(str(path), f"unreadable mailbox: {error}", True, f"give {KINDS}.")

    def wanted(self, *names: str) -> bool:
        """Mail that was chosen by its folder or subject is wanted under its id too."""
        return names[0] in self.chosen or super().wanted(*names)

    def _items(self, path: Path, entry: MailEntry) -> Iterator[RawItem]:
        where = f"{path.name}: {entry.where}"
        try:
            mail = read_mail(entry.data, entry.unsent)
        except ValueError as error:
            self.skip("not a mail", f"{where}: {error}")
            return
        if not self._is_sent(mail):
            self.skip(
                "by another author",
                f"{where}: {', '.join(name or address for name, address in mail.senders)[:100]}",
            )
        elif mail.left_out:
            self.skip(mail.left_out, f"{where}: {mail.subject}")
        elif item := self._item(mail, entry, where):
            yield item

    def _is_sent(self, mail: Mail) -> bool:
        """Mail without a sender in it doesn't happen; a machine's address in the persona's name is no mail of theirs."""
        return any(
            (self.authors.is_named(name) or self.authors.is_named(address)) and not is_nobody(address)
            for name, address in mail.senders
        )

    def _item(self, mail: Mail, entry: MailEntry, where: str) -> RawItem | None:
        try:
            text = mail.own_text()
        except Exception as error:  # a mail can be broken in any way; the others are not
            self.skip("an unreadable mail", f"{where}: {type(error).__name__}: {error}")
            return None
        if not text:
            self.skip("nothing of one's own in it", f"{where}: {mail.subject}")
            return None
        item_id = mail.message_id or text_hash(f"{mail.sent_at}{mail.senders}{mail.subject}{text}")
        if item_id in self.chosen:
            self.skip("the same mail again", f"{where}: {mail.subject}")
            return None
        folder = entry.where.rpartition("#")[0] or entry.where.rpartition("/")[0]
        if not super().wanted(item_id, folder, mail.subject):
            self.skip("left out by the persona's patterns", where)
            return None
        self.chosen.add(item_id)
        return self.item(
            item_id,
            category="article" if len(text) > _LONG else "post",
            url=f"mid:{item_id}",
            title=mail.subject or None,
            published_at=mail.sent_at,
            mime="text/plain",
            body=text,
            payload={"folder": folder, "in_reply_to": mail.reply_to},
        )
