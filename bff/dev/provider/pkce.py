"""Proof that the client which redeems a code is the one that asked for it (RFC 7636).

No I/O here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from bff.dev.provider.errors import OAuthRefusal

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def is_well_formed(text: str) -> bool:
    """Tell whether this may be a verifier or a challenge."""
    return _VERIFIER.fullmatch(text) is not None


def challenge_of(verifier: str) -> str:
    """Compute the S256 challenge."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check(verifier: str | None, challenge: str) -> None:
    """Refuse a verifier that does not belong to the challenge."""
    if verifier is None:
        sentence = "PKCE code verifier not specified"
        raise OAuthRefusal("invalid_grant", sentence, reason="code_verifier_missing")
    if not is_well_formed(verifier):
        sentence = "PKCE verification failed: Invalid code verifier"
        raise OAuthRefusal("invalid_grant", sentence, reason="invalid_code_verifier")
    if not hmac.compare_digest(challenge_of(verifier), challenge):
        sentence = "PKCE verification failed: Code mismatch"
        raise OAuthRefusal("invalid_grant", sentence, reason="pkce_verification_failed")
