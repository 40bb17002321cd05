"""How many examples a property test tries: `quick` in `make check`, `thorough` in `make properties` and `make test`.

Both try the same ones at every run, so that a red run can be repeated by anybody; `--hypothesis-profile=explore` tries
new ones.
"""

from __future__ import annotations

from hypothesis import settings

QUICK, THOROUGH = 150, 500

settings.register_profile("quick", max_examples=QUICK, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=THOROUGH, derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=THOROUGH, derandomize=False, deadline=None)
settings.load_profile("quick")
