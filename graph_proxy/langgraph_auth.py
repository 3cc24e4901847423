"""Keep the tenants of a LangGraph server apart: langgraph.json's `auth.path` handler.

Stands alone (langgraph_sdk, joserfc, the standard library), so that LangGraph can load
it by path in an environment of its own:

    "auth": {"path": "/…/langgraph_auth.py:auth", "disable_studio_auth": true}

Settings, from the server's environment: NEXIUS_ISSUER and NEXIUS_AUDIENCE (required);
NEXIUS_JWKS_URL (default: Keycloak's, below the issuer); NEXIUS_CLIENT_ID (`azp` must
equal it); NEXIUS_GATEWAY_KEY (shared with the gateway: its `x-tenant-id` then counts).

Covered: every route below /threads, /runs, /assistants, /store, /mcp and /a2a, with
history, state, copy, prune, cancel by status, both stream protocols, the WebSocket, and
crons, which run as whoever made or last configured them. Threads, runs and crons are
a tenant's, not a person's. Assistants are the tenant's own and, to be read and run,
the server's built-in ones. Store namespaces begin with the tenant's label: a namespace
that lacks it gets it, one that has it stays, so what an answer shows can be sent back.

Not covered, because the server asks no handler there: /ok, /info, /metrics, /docs,
/openapi.json, GET /ui, and in `langgraph dev` /internal and /deploy (the gateway keeps
browsers from what is dangerous among them); routes of an `http.app` without
`enable_custom_route_auth`; what a graph itself does with the store or the network,
webhooks included; `configurable.user_id`, which is whatever the client says: a graph
must ask `configurable.langgraph_auth_user`. Data older than this handler is no one's.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError
from langgraph_sdk import Auth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALGORITHMS = frozenset({"RS256", "PS256", "ES256"})
EXPIRY_LEEWAY = 30  # seconds
CLOCK_SKEW = 150  # seconds that `iat` and `nbf` may lie ahead of us
KEYS_MAX_AGE = 600  # seconds, after which a withdrawn key is noticed
REFETCH_PAUSE = 30  # seconds between two fetches of the key set
FIRST_FETCH_PAUSE = 2  # the same while there is no key at all
FETCH_TIMEOUT = 5  # seconds
MAX_TOKEN = 16_384  # bytes
MAX_KEY_SET = 1_048_576  # bytes

# Canonical, so that one tenant has one spelling; within a bigint.
TENANT_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
USER_FIELDS = ("identity", "tenant_id", "roles", "email", "store_namespace")
IDENTITY_KEYS = (
    "langgraph_auth_user",
    "langgraph_auth_user_id",
    "langgraph_auth_permissions",
)

log = logging.getLogger(__name__)
auth = Auth()

Claims = dict[str, Any]
Filter = dict[str, Any]
Value = dict[str, Any]


def refused(status: int, detail: str) -> Auth.exceptions.HTTPException:
    """Answer *status* with *detail*, which must never hold any part of a token."""
    return Auth.exceptions.HTTPException(status_code=status, detail=detail)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What this server is told about the issuer and the gateway."""

    issuer: str
    audience: str
    jwks_url: str
    client_id: str | None = None
    gateway_key: bytes | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Read the NEXIUS_* variables of *environ*.

        Raises:
            ValueError: A required one is missing, or the URL is no http(s) URL.

        """
        missing = [
            name
            for name in ("NEXIUS_ISSUER", "NEXIUS_AUDIENCE")
            if not environ.get(name)
        ]
        if missing:
            raise ValueError(
                f"Set {' and '.join(missing)} in the LangGraph server's environment:"
                " without it no caller's token can be checked."
            )
        issuer = environ["NEXIUS_ISSUER"]
        url = environ.get("NEXIUS_JWKS_URL") or (
            issuer.rstrip("/") + "/protocol/openid-connect/certs"
        )
        if not url.startswith(("https://", "http://")):
            raise ValueError("NEXIUS_JWKS_URL must begin with https:// or http://.")
        key = environ.get("NEXIUS_GATEWAY_KEY")
        return cls(
            issuer=issuer,
            audience=environ["NEXIUS_AUDIENCE"],
            jwks_url=url,
            client_id=environ.get("NEXIUS_CLIENT_ID") or None,
            gateway_key=key.encode() if key else None,
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Make a redirect an error: keys come from the configured place or not at all."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def fetch_keys(url: str) -> dict[str, jwk.Key]:
    """Fetch the signing keys at *url*, by key id. Blocks.

    Raises:
        OSError: The issuer cannot be reached or answers with an error.
        ValueError: It answers with something that is no key set.

    """
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(url, timeout=FETCH_TIMEOUT) as answer:
        document = json.loads(answer.read(MAX_KEY_SET))
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set")  # noqa: TRY004 - one error for bad content
    keys: dict[str, jwk.Key] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use") != "sig":
            continue
        if entry.get("kty") not in {"RSA", "EC"} or not isinstance(
            entry.get("kid"), str
        ):
            continue
        try:
            keys[entry["kid"]] = jwk.import_key(entry)
        except (JoseError, ValueError, TypeError, KeyError):
            log.warning("ignoring an unreadable key in the issuer's key set")
    return keys


class KeySet:
    """The issuer's signing keys: fetched when needed, kept through its outages."""

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], dict[str, jwk.Key]] = fetch_keys,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwk.Key] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> jwk.Key | None:
        """Return the key named *kid*, None when the issuer has no such key.

        Raises:
            OSError: There never was a key set to look into.

        """
        if kid not in self._keys or self._is_old():
            if self._fetching is None and self._may_fetch():
                self._tried_at = self._clock()
                self._fetching = asyncio.create_task(self._refetch())
            if self._fetching is not None:
                # Shielded: whoever leaves must not cancel what others wait for.
                await asyncio.shield(self._fetching)
        if self._fetched_at is None:
            raise OSError("the issuer's keys are not known yet")
        return self._keys.get(kid)

    def _is_old(self) -> bool:
        return (
            self._fetched_at is not None
            and self._clock() - self._fetched_at > KEYS_MAX_AGE
        )

    def _may_fetch(self) -> bool:
        pause = FIRST_FETCH_PAUSE if self._fetched_at is None else REFETCH_PAUSE
        return self._tried_at is None or self._clock() - self._tried_at >= pause

    async def _refetch(self) -> None:
        try:
            # A thread, because LangGraph forbids blocking calls on its event loop.
            self._keys = await asyncio.to_thread(self._fetch, self._url)
            self._fetched_at = self._clock()
        except (OSError, ValueError) as error:
            log.warning("cannot fetch the issuer's keys (%s)", type(error).__name__)
        finally:
            self._fetching = None


settings = Settings.read(os.environ)
key_set = KeySet(settings.jwks_url)


async def verified_claims(token: str, *, now: float) -> Claims:
    """Return the claims of *token* once signature and claims have been checked.

    Raises:
        HTTPException: 401 for a token that does not pass, 503 without keys to check it.

    """
    if len(token) > MAX_TOKEN:
        raise refused(401, "The access token is too long.")
    try:
        # Of the header only kid and alg count: jku, x5u, jwk would name foreign keys.
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError):
        raise refused(401, "The access token is malformed.") from None
    kid, algorithm = header.get("kid"), header.get("alg")
    if algorithm not in ALGORITHMS or not isinstance(kid, str) or "crit" in header:
        raise refused(401, "The access token is signed in a way not accepted here.")
    try:
        key = await key_set.find(kid)
    except OSError:
        raise refused(503, "The issuer's keys cannot be fetched.") from None
    if key is None:
        raise refused(401, "The access token is signed with an unknown key.")
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm]).claims
    except (JoseError, ValueError):
        raise refused(401, "The access token's signature is not valid.") from None
    if problem := claims_problem(claims, now=now):
        raise refused(401, f"The access token is not accepted: {problem}.")
    return claims


def claims_problem(claims: Claims, *, now: float) -> str | None:
    """Name what is wrong with *claims* at *now*, seconds since the epoch."""
    audience = claims.get("aud")
    expires = _seconds(claims.get("exp"))
    checks = {
        "another issuer": claims.get("iss") == settings.issuer,
        "another audience": settings.audience
        in (audience if isinstance(audience, list) else [audience]),
        "not an access token": claims.get("typ") == "Bearer",
        "another client": settings.client_id in {None, claims.get("azp")},
        "no subject": isinstance(claims.get("sub"), str) and bool(claims["sub"]),
        "expired": expires is not None and now < expires + EXPIRY_LEEWAY,
    } | {
        f"{name} lies ahead": name not in claims
        or (
            (moment := _seconds(claims[name])) is not None
            and moment <= now + CLOCK_SKEW
        )
        for name in ("iat", "nbf")
    }
    return next((problem for problem, passed in checks.items() if not passed), None)


def _seconds(value: object) -> float | None:
    """Return a NumericDate as a number; a bool or a string is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None


def tenant_of_claim(claims: Claims) -> str | None:
    """Return claim `tenant_id` as text, None when it is absent or no tenant id."""
    value = claims.get("tenant_id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and TENANT_ID.fullmatch(value) else None


def tenant_of(claims: Claims, headers: Mapping[bytes, bytes]) -> str:
    """Decide the caller's tenant: the gateway's word before the claim.

    Raises:
        HTTPException: 403 without a tenant, or when a header names one unproven.

    """
    claimed = tenant_of_claim(claims)
    named = headers.get(b"x-tenant-id", b"").decode("latin-1")
    shown = headers.get(b"x-gateway-key")
    expected = settings.gateway_key
    if expected and shown is not None and not hmac.compare_digest(shown, expected):
        raise refused(403, "The gateway key is not the one this server was given.")
    if named and expected and shown is not None:
        if not TENANT_ID.fullmatch(named):
            raise refused(403, "The gateway named no valid tenant.")
        return named
    if named and named != claimed:
        # Not merely ignored: acting on the claim would write to another tenant than
        # the one the caller believes in.
        raise refused(403, "A tenant other than the token's needs the gateway key.")
    if claimed is None:
        raise refused(403, "The caller belongs to no tenant.")
    return claimed


def roles_of(claims: Claims, tenant: str) -> list[str]:
    """Return the token's roles, which count only for the tenant the token names."""
    if tenant_of_claim(claims) != tenant:
        return []
    realm = claims.get("realm_access")
    roles = claims.get("roles", realm.get("roles") if isinstance(realm, dict) else None)
    return [r for r in roles if isinstance(r, str)] if isinstance(roles, list) else []


def store_namespace(tenant: str) -> str:
    """Return the first label of all of *tenant*'s store namespaces.

    Closed by a dash: SQL stores before CVE-2026-71433 was fixed compare prefixes as
    text, where a bare 7 would also find what belongs to 70.
    """
    return f"tenant-{tenant}-"


@auth.authenticate
async def authenticate(
    authorization: str | None, headers: dict[bytes, bytes]
) -> dict[str, Any]:
    """Return who calls. Graphs and API answers show it, so no token may be in it.

    Raises:
        HTTPException: 401 for a bad token, 403 without a tenant.

    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise refused(401, "An access token is required.")
    claims = await verified_claims(token.strip(), now=time.time())
    tenant = tenant_of(claims, headers)
    roles = roles_of(claims, tenant)
    email = claims.get("email")
    return {
        "identity": claims["sub"],
        "is_authenticated": True,
        "permissions": roles,
        "tenant_id": tenant,
        "roles": roles,
        "email": email if isinstance(email, str) else None,
        "store_namespace": store_namespace(tenant),
    }


def _tenant(ctx: Auth.types.AuthContext) -> str:
    """Return the tenant of the authenticated user; Studio's has none and gets 403."""
    try:
        tenant = ctx.user["tenant_id"]
    except (KeyError, TypeError, AttributeError):
        tenant = None
    if not isinstance(tenant, str):
        raise refused(403, "The caller belongs to no tenant.")
    return tenant


def _part(value: Value, name: str) -> Value:
    """Return the dict at *name*, made if absent; the server reads it afterwards."""
    part = value.get(name)
    if not isinstance(part, dict):
        part = value[name] = {}
    return part


@auth.on
async def refuse_unknown(ctx: Auth.types.AuthContext, value: Value) -> bool:  # noqa: ARG001
    """Refuse whatever no handler below knows: without one LangGraph would allow it."""
    return False


@auth.on(resources="threads", actions=["read", "search", "delete"])
@auth.on(resources="crons", actions=["read", "search", "delete"])
@auth.on(resources="assistants", actions="delete")
async def own(ctx: Auth.types.AuthContext, value: Value) -> Filter:  # noqa: ARG001
    """Limit to what carries the tenant's id; the rest seems not to exist."""
    return {"tenant_id": _tenant(ctx)}


@auth.on(resources="threads", actions=["create", "update"])
async def own_thread(ctx: Auth.types.AuthContext, value: Value) -> Filter:
    """Mark the thread with the tenant, whatever the client wrote there."""
    tenant = _tenant(ctx)
    _part(value, "metadata")["tenant_id"] = tenant
    return {"tenant_id": tenant}


@auth.on(resources="threads", actions="create_run")
async def own_run(ctx: Auth.types.AuthContext, value: Value) -> Filter:
    """Mark the run, and the thread made for it; let no client describe the user."""
    # The server sets its identity keys in `configurable`, but a v2 command's copy of
    # them in `context` would reach the graph as the client wrote it.
    context = _part(_part(value, "kwargs"), "context")
    for key in IDENTITY_KEYS:
        context.pop(key, None)
    return await own_thread(ctx, value)


@auth.on(resources="crons", actions=["create", "update"])
async def own_cron(ctx: Auth.types.AuthContext, value: Value) -> Filter:
    """Mark the cron and sign its payload with the user it will run as."""
    tenant = _tenant(ctx)
    if ctx.action == "create" or isinstance(value.get("metadata"), dict):
        _part(value, "metadata")["tenant_id"] = tenant
    payload = value.get("payload")
    if isinstance(payload, dict):
        if isinstance(payload.get("metadata"), dict):  # outranks the cron's own
            payload["metadata"]["tenant_id"] = tenant
        # An update replaces the whole config or, without one, keeps the signed one.
        if ctx.action == "create" or "config" in payload:
            configurable = _part(_part(payload, "config"), "configurable")
            configurable["langgraph_auth_user"] = {
                name: ctx.user[name] for name in USER_FIELDS if name in ctx.user
            }
    return {"tenant_id": tenant}


@auth.on(resources="assistants", actions=["read", "search"])
async def own_or_built_in(ctx: Auth.types.AuthContext, value: Value) -> Filter:  # noqa: ARG001
    """Show the tenant's assistants and those the server made of its graphs."""
    return {"$or": [{"tenant_id": _tenant(ctx)}, {"created_by": "system"}]}


@auth.on(resources="assistants", actions=["create", "update"])
async def own_assistant(ctx: Auth.types.AuthContext, value: Value) -> Filter:
    """Mark the assistant; `created_by` is the server's mark of a built-in one."""
    _part(value, "metadata").pop("created_by", None)
    return await own_thread(ctx, value)


@auth.on(resources="store", actions=["put", "get", "search", "delete"])
async def own_namespace(ctx: Auth.types.AuthContext, value: Value) -> bool:
    """Put the tenant's label before the namespace unless it is already there."""
    label = store_namespace(_tenant(ctx))
    namespace = tuple(value.get("namespace") or ())
    if namespace[:1] != (label,):
        value["namespace"] = (label, *namespace)
    return True


@auth.on.store.list_namespaces
async def own_namespaces(ctx: Auth.types.AuthContext, value: Any) -> bool:  # noqa: ANN401
    """List below the tenant's label, which a client's own depth does not count."""
    asked = value.get("namespace")
    await own_namespace(ctx, value)
    depth = value.get("max_depth")
    if isinstance(depth, int) and tuple(asked or ()) != value["namespace"]:
        value["max_depth"] = depth + 1
    return True
