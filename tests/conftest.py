"""Property tests try the same examples at every run, so that a red run can be repeated by anybody.

`--hypothesis-profile=explore` tries new ones.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("repeatable")
