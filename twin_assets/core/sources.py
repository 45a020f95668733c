"""Where a persona's writing lives: one class a source. A field of `Persona` names each.

Adding a source: a class here, its field in `Persona`, and a spider in `feature/crawl/` of the same name.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from twin_assets.core.records import Visibility

Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]


class Part(BaseModel):
    """A strict part of a declaration: an unknown field is an error, not a silent nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourcePart(Part):
    """What every source can be told. Patterns are shell globs over an item's path or address."""

    include: list[str] = Field(default=[], description="Keep only items that match one of these globs.")
    exclude: list[str] = Field(default=[], description="Leave out items that match one of these globs.")
    visibility: Visibility | None = Field(None, description="Instead of the persona's own visibility.")


class LinkedIn(SourcePart):
    """The Member Data Portability API (token in TWIN_LINKEDIN_TOKEN) or the export zip."""

    profile: Url = Field(description="Profile URL, for links and the author's name.")
    api: Url | None = Field(None, description="API base; default https://api.linkedin.com.")
    export: Path | None = Field(None, description="Path of the account's data export zip.")


class Medium(SourcePart):
    """The feed has the newest ten stories; the sitemap and the export zip have all."""

    feed: Url | None = Field(None, description="Feed URL, e.g. https://medium.com/feed/@name.")
    sitemap: Url | None = Field(
        None,
        description="Sitemap URL of the author's domain, e.g. https://name.medium.com/sitemap/sitemap.xml.",
    )
    export: Path | None = Field(None, description="Path of the account's export zip.")


class Substack(SourcePart):
    url: Url = Field(description="Publication URL, e.g. https://name.substack.com.")


class GitHub(SourcePart):
    """Own repositories, and the persona's own words in them (token in TWIN_GITHUB_TOKEN)."""

    user: str
    api: Url | None = Field(None, description="API base; default https://api.github.com.")
    repositories: list[str] = Field(default=[], description="Names to take; empty means all own ones.")


class GitLab(SourcePart):
    """Own projects (TWIN_GITLAB_TOKEN for private ones)."""

    user: str
    api: Url | None = Field(None, description="API base; default https://gitlab.com/api/v4.")
    projects: list[str] = Field(default=[], description="Names to take; empty means all own ones.")


class X(SourcePart):
    """The account's archive; X has no free way to read one's own posts."""

    archive: Path = Field(description="Path of the archive zip that X prepares in the settings.")


class Web(SourcePart):
    """Folders of writing, single pages, feeds and sitemaps."""

    folders: list[Path] = Field(default=[], description="Markdown (Hugo, Jekyll, plain), HTML, PDF, DOCX.")
    pages: list[Url] = Field(default=[], description="Addresses of articles (HTML, PDF, Markdown) or feeds.")
    sitemaps: list[Url] = Field(default=[], description="Sitemaps whose pages are articles.")
