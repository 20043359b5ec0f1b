"""Who may do what: API keys, the projects that they belong to, and session tokens with grants."""

from antiphon.access.grants import ANY, Grants
from antiphon.access.identity import LOCAL, Identity
from antiphon.access.key_files import KeyWatch, read_keys
from antiphon.access.keys import Key, KeyRing
from antiphon.access.tokens import Minted, looks_like_one, mint, verify

__all__ = [
    "ANY",
    "LOCAL",
    "Grants",
    "Identity",
    "Key",
    "KeyRing",
    "KeyWatch",
    "Minted",
    "looks_like_one",
    "mint",
    "read_keys",
    "verify",
]
