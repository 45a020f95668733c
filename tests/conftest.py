"""What every test begins with: unless a test names a profile, it is the one that proves the plumbing in no time."""

import os

os.environ.setdefault("TWIN_PROFILE", "nano")
