"""Whether more of a metric is better, as its plugin says."""

from __future__ import annotations

from medrobust import registry
from medrobust.errors import SpecError


def higher_is_better(metric: str) -> bool | None:
    """None where neither direction is better. Raises SpecError for a metric whose plugin is not installed or does not say without options."""
    plugin = registry.load("metrics", metric)
    try:
        better: bool | None = plugin().higher_is_better
    except (TypeError, ValueError, AttributeError) as error:
        msg = f"metric {metric}: {error}; found no direction, expected `higher_is_better` of its default options"
        raise SpecError(msg) from error
    return better
