"""Who asks, once that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from antiphon.config_auth import DEFAULT_PROJECT

if TYPE_CHECKING:
    from antiphon.access.grants import Grants


@dataclass(frozen=True)
class Identity:
    """The bearer of an API key, or of a session token that one signed."""

    project: str
    key: str = ""
    """The key's id; empty where no keys are configured."""
    operator: bool = False
    grants: Grants | None = None
    """What a session token grants; None for an API key, which may do all in its project."""
    subject: str = ""
    """Whom a session token stands for: it has the sessions that tokens with the same subject made."""

    def sees(self, project: str, owner: str) -> bool:
        """Whether a session of that project and owner is any of its business. Without keys, every session is."""
        if not self.key:
            return True
        return self.project == project and (self.grants is None or self.subject == owner)


LOCAL = Identity(DEFAULT_PROJECT, operator=True)
"""Who asks where no keys are configured: only this machine can."""
