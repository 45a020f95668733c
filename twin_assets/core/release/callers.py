"""Who decided something, as records say it: what they proved to be. The name that a person gives is only a claim."""

import os
import pwd

NOBODY = "not authenticated"
PAGE_LOGIN = "page login"  # all who know the page's password are one
CALLER_TAG = "twin/caller"  # of a Dagster run: who launched it


def system_user() -> str:
    """Whoever runs this process, as the operating system knows them."""
    user = os.getuid()
    try:
        return f"system user {pwd.getpwuid(user).pw_name}"
    except KeyError:  # a container's, without an entry
        return f"system user {user}"


def said_to_be(claimed: str | None, caller: str) -> str:
    """For people to read: the name given, if one was, and who was authenticated."""
    return f"{claimed} ({caller})" if claimed else caller
