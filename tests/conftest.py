"""Hypothesis profiles: `default` is quick and always the same; AUTHZ_TEST_PROFILE=thorough looks further.

The default draws the same examples each time (`derandomize`), so that a test run that passed passes again;
`thorough` draws new ones, and many more.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Policies are large examples and compiling one is slow: neither says that a strategy is bad.
_SUPPRESSED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)

settings.register_profile(
    "default", derandomize=True, deadline=None, max_examples=50, suppress_health_check=_SUPPRESSED
)
settings.register_profile("thorough", deadline=None, max_examples=1500, suppress_health_check=_SUPPRESSED)
settings.load_profile(os.environ.get("AUTHZ_TEST_PROFILE", "default"))
