"""Where a persona's writing lives: one class a source. A field of `Persona` names each.

Adding a source: a class here, whose name is the source's title, its field in `Persona`, and a spider in `feature/crawl/spiders/` of the same name.
"""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from twin_assets.core.records import Visibility

Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]


class Part(BaseModel):
    """A strict part of a declaration: an unknown field is an error, not a silent nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourcePart(Part):
    """What every source can be told. Patterns are shell globs over an item's path or address."""

    # Whether a question that says the source's name means it: "on X" or "in the mail" may mean anything.
    telling_name: ClassVar[bool] = False

    include: list[str] = Field(default=[], description="Keep only items that match one of these globs.")
    exclude: list[str] = Field(default=[], description="Leave out items that match one of these globs.")
    visibility: Visibility | None = Field(None, description="Instead of the persona's own visibility.")


def path_fields(part: type[SourcePart]) -> set[str]:
    """The fields of a source that name files of this machine."""
    return {name for name, field in part.model_fields.items() if "Path" in str(field.annotation)}


class LinkedIn(SourcePart):
    """The data export, or with a token in TWIN_LINKEDIN_TOKEN the Member Data Portability API, which LinkedIn gives
    to members in the EEA and Switzerland only."""

    telling_name = True
    profile: Url = Field(description="Profile URL, for links and the author's name.")
    api: Url | None = Field(
        None,
        description="API base; default https://api.linkedin.com. For members in the EEA and Switzerland only; "
        "anywhere else, collect from the export.",
    )
    export: Path | None = Field(
        None,
        description="Path of the account's data export: the zip, its folder, or a folder of its parts. It needs no token.",
    )


class Medium(SourcePart):
    """The feed has the newest ten stories; the sitemap and the export zip have all."""

    telling_name = True
    feed: Url | None = Field(None, description="Feed URL, e.g. https://medium.com/feed/@name.")
    sitemap: Url | None = Field(
        None,
        description="Sitemap URL of the author's domain, e.g. https://name.medium.com/sitemap/sitemap.xml.",
    )
    export: Path | None = Field(None, description="Path of the account's export zip.")


class Substack(SourcePart):
    """The publication as the web shows it, or its export zip, which has the posts for paying readers too."""

    telling_name = True
    url: Url | None = Field(None, description="Publication URL, e.g. https://name.substack.com.")
    export: Path | None = Field(None, description="Path of the publication's export zip.")


class GitHub(SourcePart):
    """Own repositories, and the persona's own words in them (token in TWIN_GITHUB_TOKEN)."""

    telling_name = True
    user: str
    api: Url | None = Field(None, description="API base; default https://api.github.com.")
    repositories: list[str] = Field(
        default=[],
        description="Names to take; empty means all own ones. `owner/name` for one of an organisation.",
    )


class GitLab(SourcePart):
    """Own projects (TWIN_GITLAB_TOKEN for private ones)."""

    telling_name = True
    user: str
    api: Url | None = Field(None, description="API base; default https://gitlab.com/api/v4.")
    projects: list[str] = Field(
        default=[], description="Names to take; empty means all own ones. `group/name` for one of a group."
    )


class X(SourcePart):
    """The account's archive; X has no free way to read one's own posts."""

    archive: Path = Field(description="Path of the archive that X prepares in the settings, or its folder.")


class Web(SourcePart):
    """Folders of writing, single pages, feeds and sitemaps."""

    folders: list[Path] = Field(
        default=[],
        description="Folders of writing: Markdown, HTML, PDF, DOCX and the kinds in docs/collection.md.",
    )
    pages: list[Url] = Field(default=[], description="Addresses of articles (HTML, PDF, Markdown) or feeds.")
    sitemaps: list[Url] = Field(default=[], description="Sitemaps whose pages are articles.")


class WordPress(SourcePart):
    """The export file (WXR) that WordPress writes under Tools, Export."""

    telling_name = True
    export: Path = Field(description="Path of the .xml file, or of a zip of such files.")


class Ghost(SourcePart):
    """The export file that Ghost writes in its settings."""

    export: Path = Field(description="Path of the .json file.")
    url: Url | None = Field(None, description="Address of the site, for the posts' links.")


class Mastodon(SourcePart):
    """The account's archive, which holds its posts as ActivityPub."""

    telling_name = True
    archive: Path = Field(
        description="Path of the archive (.zip or .tar.gz) that the server prepares, or its folder."
    )


class Bluesky(SourcePart):
    """The account's repository, which Bluesky exports as a CAR file."""

    telling_name = True
    archive: Path = Field(description="Path of the .car file.")
    handle: str | None = Field(None, description="Handle, for links; e.g. ada.bsky.social.")


class Mail(SourcePart):
    """Sent mail. Only what the persona wrote counts: quotes and signatures are taken off."""

    files: list[Path] = Field(
        description="Mailboxes: mbox files, Maildir folders, .eml files or folders of them."
    )
    visibility: Visibility | None = Field(
        "private", description="Mail is private unless this says otherwise."
    )


class Chats(SourcePart):
    """Exported chats, kept as conversations: what others say is context, never learnt as the persona's."""

    files: list[Path] = Field(
        description="Exports: Telegram's JSON, WhatsApp's text or zip, Slack's zip, Discord's package; or a folder of one."
    )
    visibility: Visibility | None = Field(
        "private", description="Chats are private unless this says otherwise."
    )


class Transcripts(SourcePart):
    """What the persona said in recordings. A file that tells no speakers apart counts as theirs as a whole."""

    files: list[Path] = Field(description=".vtt and .srt files, or folders of them.")
