"""Talk to the identity provider: discovery, keys, and its token endpoint.

A POST is sent once and never again: after a lost answer nobody knows whether the
provider acted (facts of Keycloak's rotation, RFC 9700 section 4.14).
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import TYPE_CHECKING, Any

import aiohttp

from bff.identity.client_auth import (
    ClientKeyError,
    SharedSecret,
    SignedAssertion,
    read_key,
)
from bff.identity.keys import SigningKeys
from bff.identity.messages import (
    ClaimsRefused,
    Person,
    ProviderUnavailable,
    Refusal,
    TenantSource,
    TokenRefused,
    Tokens,
    check_claims,
    read_person,
    read_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bff.config_identity import Auth
    from bff.identity.client_auth import ClientProof

log = logging.getLogger(__name__)

MAX_ANSWER = 256 * 1024
# Discovery is asked again after this long, so that moved endpoints are noticed.
DISCOVERY_AGE = 3600.0
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def proof_of(auth: Auth) -> ClientProof:
    """Return how the client of *auth* proves itself: by its key, else by its secret.

    Raises:
        ClientKeyError: when the key's file cannot be read or holds no usable key.
    """
    if auth.client_key_file is None:
        return SharedSecret(auth.client_secret.get_secret_value())
    setting = f"auth.client_key_file: {auth.client_key_file}"
    try:
        key = read_key(auth.client_key_file.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise ClientKeyError(f"{setting} cannot be read") from error
    except ClientKeyError as error:
        raise ClientKeyError(f"{setting} {error}") from error
    key_id = auth.client_key_id
    return SignedAssertion(
        key=key,
        key_id=key.thumbprint() if key_id is None else key_id,
        new_id=lambda: secrets.token_urlsafe(16),
    )


class Provider:
    """One issuer, and our client there."""

    def __init__(
        self,
        auth: Auth,
        http: aiohttp.ClientSession,
        clock: Callable[[], float],
        *,
        proof: ClientProof | None = None,
        tenant_source: TenantSource = "attribute",
    ) -> None:
        self.auth = auth
        self._proof = proof or proof_of(auth)
        self._tenant_source: TenantSource = tenant_source
        self._http = http
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=auth.timeout, sock_connect=5)
        self._late = aiohttp.ClientTimeout(total=3 * auth.timeout, sock_connect=5)
        self._discovered: dict[str, Any] = {}
        self._discovered_at = float("-inf")
        self.keys = SigningKeys(self._fetch_keys, clock)

    async def discovery(self) -> dict[str, Any]:
        """Return the discovery document, cached for an hour (OIDC Discovery 1.0).

        Raises:
            ProviderUnavailable: when there is none, or it names another issuer.
        """
        if self._clock() - self._discovered_at < DISCOVERY_AGE:
            return self._discovered
        try:
            url = f"{self.auth.issuer}/.well-known/openid-configuration"
            found = await self._get(url)
        except ProviderUnavailable:
            if self._discovered:
                return self._discovered
            raise
        if found.get("issuer") != self.auth.issuer:
            raise ProviderUnavailable("the discovery document names another issuer")
        if not all(isinstance(found.get(name), str) for name in ENDPOINTS):
            raise ProviderUnavailable("the discovery document lacks an endpoint")
        self._discovered, self._discovered_at = found, self._clock()
        return found

    async def grant(self, email: str, password: str, otp: str | None) -> Tokens:
        """Exchange a password, and a one-time code if given, for tokens.

        Raises:
            TokenRefused: with what it means for the person.
            ProviderUnavailable: when the provider cannot be asked.
        """
        fields = {"username": email, "password": password, "scope": self.auth.scope}
        if otp:
            fields["totp"] = otp
        return await self._token("password", fields)

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """Exchange an authorization code for tokens (RFC 7636).

        Raises:
            TokenRefused: with what it means for the person.
            ProviderUnavailable: when the provider cannot be asked.
        """
        fields = {
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        return await self._token("authorization_code", fields)

    async def refresh(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token for the next tokens, once, without a retry.

        An answer is waited for three times as long as others: where refresh tokens
        rotate, one that comes late holds the only tokens that still count.

        Raises:
            TokenRefused: `SESSION_OVER` is the only refusal that ends a session.
            ProviderUnavailable: when the provider cannot be asked.
        """
        fields = {"refresh_token": refresh_token}
        return await self._token("refresh_token", fields, self._late)

    async def end_session(self, refresh_token: str) -> None:
        """End the provider's session that *refresh_token* belongs to.

        Raises:
            ProviderUnavailable: when the provider cannot be asked.
        """
        found = await self.discovery()
        endpoint = found.get("end_session_endpoint")
        if not isinstance(endpoint, str):
            return
        status, body = await self._post(endpoint, {"refresh_token": refresh_token})
        # An invalid_grant is a session that has ended already.
        error = body.get("error") if isinstance(body, dict) else None
        if status >= 400 and error != "invalid_grant":  # noqa: PLR2004 - HTTP's errors
            raise ProviderUnavailable(f"the provider answered {status} to a logout")

    async def verify_access(self, token: str) -> Person:
        """Prove an access token and say who it speaks of.

        Raises:
            SignatureRefused, ClaimsRefused: when it does not count.
            ProviderUnavailable: when the keys cannot be had.
        """
        claims = await self.keys.verify(token, own=True)
        return read_person(
            claims,
            issuer=self.auth.issuer,
            client_id=self.auth.client_id,
            audience=self.auth.audience,
            now=self._clock(),
            tenant_source=self._tenant_source,
        )

    async def verify_id(self, token: str, *, nonce: str, sub: str) -> None:
        """Prove an ID token of a sign-in (OIDC Core section 3.1.3.7).

        Raises:
            SignatureRefused, ClaimsRefused: when it does not count.
            ProviderUnavailable: when the keys cannot be had.
        """
        claims = await self.keys.verify(token, own=True)
        check_claims(
            claims,
            issuer=self.auth.issuer,
            audience=self.auth.client_id,
            now=self._clock(),
            typ="ID",
        )
        # Of several audiences, the one it was made for (OIDC Core section 2).
        if claims.get("azp", self.auth.client_id) != self.auth.client_id:
            raise ClaimsRefused("azp")
        if claims.get("nonce") != nonce:
            raise ClaimsRefused("nonce")
        if claims["sub"] != sub:
            raise ClaimsRefused("sub")

    async def _token(
        self,
        grant: str,
        fields: Mapping[str, str],
        limit: aiohttp.ClientTimeout | None = None,
    ) -> Tokens:
        endpoint = (await self.discovery())["token_endpoint"]
        form = {"grant_type": grant, **fields}
        status, body = await self._post(endpoint, form, limit)
        try:
            return read_tokens(status, body, grant=grant)
        except TokenRefused as error:
            level = logging.INFO
            if error.refusal is Refusal.MISCONFIGURED:
                level = logging.ERROR
            log.log(level, "the provider refused a %s grant: %s", grant, error)
            raise

    async def _post(
        self,
        url: str,
        fields: Mapping[str, str],
        limit: aiohttp.ClientTimeout | None = None,
    ) -> tuple[int, object]:
        auth = self.auth
        proof = self._proof.fields(auth.client_id, auth.issuer, self._clock())
        return await self._ask("POST", url, {**fields, **proof}, limit)

    async def _get(self, url: str) -> dict[str, Any]:
        status, body = await self._ask("GET", url)
        if status != 200 or not isinstance(body, dict):  # noqa: PLR2004 - OK
            raise ProviderUnavailable(f"the provider answered {status}")
        return body

    async def _fetch_keys(self) -> dict[str, Any]:
        return await self._get((await self.discovery())["jwks_uri"])

    async def _ask(
        self,
        method: str,
        url: str,
        data: Mapping[str, str] | None = None,
        limit: aiohttp.ClientTimeout | None = None,
    ) -> tuple[int, object]:
        try:
            async with self._http.request(
                method,
                url,
                data=data,
                allow_redirects=False,
                timeout=limit or self._timeout,
            ) as answer:
                raw = await answer.content.read(MAX_ANSWER + 1)
                while len(raw) <= MAX_ANSWER and not answer.content.at_eof():
                    raw += await answer.content.read(MAX_ANSWER + 1 - len(raw))
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnavailable("the provider cannot be reached") from error
        if len(raw) > MAX_ANSWER:
            raise ProviderUnavailable("the provider's answer is too long")
        try:
            return status, json.loads(raw) if raw else None
        except (ValueError, RecursionError):
            return status, None
