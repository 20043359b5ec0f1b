"""The policies by name, one a file. `signaling.policy` picks one."""

from antiphon.errors import ConfigError
from antiphon.placement.policies.least_loaded import least_loaded
from antiphon.placement.policies.nearest import nearest
from antiphon.placement.ranking import Policy

POLICIES: dict[str, Policy] = {"nearest": nearest, "least_loaded": least_loaded}


def policy_named(name: str) -> Policy:
    """Raises ConfigError where there is none of this name."""
    try:
        return POLICIES[name]
    except KeyError:
        raise ConfigError(f"signaling.policy: there is no policy {name!r}; known: {', '.join(POLICIES)}") from None


__all__ = ["POLICIES", "policy_named"]
