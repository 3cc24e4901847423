"""What graph_proxy.langgraph_auth decides, without a LangGraph server."""

from __future__ import annotations

import asyncio
import base64
import hmac
import importlib.util
import json
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwk, jwt
from langgraph_sdk import Auth

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import ModuleType

FILE = Path(__file__).parents[2] / "graph_proxy" / "langgraph_auth.py"
ISSUER = "https://id.example.org/realms/test"
KEY = jwk.RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
CURVE = jwk.ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
REQUIRED = {"NEXIUS_ISSUER": ISSUER, "NEXIUS_AUDIENCE": "graph"}

HTTPException = Auth.exceptions.HTTPException


def load(monkeypatch: pytest.MonkeyPatch, **environ: str) -> ModuleType:
    """Load the file by path, as LangGraph does where no package is installed."""
    for name in "ISSUER", "AUDIENCE", "JWKS_URL", "CLIENT_ID", "GATEWAY_KEY":
        monkeypatch.delenv(f"NEXIUS_{name}", raising=False)
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    spec = importlib.util.spec_from_file_location("loaded_by_path", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "loaded_by_path", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the handler with a client, a gateway key, and keys that need no network."""
    module = load(
        monkeypatch,
        **REQUIRED,
        NEXIUS_CLIENT_ID="gateway",
        NEXIUS_GATEWAY_KEY="shared",
    )
    keys = {"rsa": KEY, "ec": CURVE}
    vars(module)["key_set"] = module.KeySet("http://unused", fetch=lambda _: keys)
    return module


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": ["account", "graph"],
        "azp": "gateway",
        "typ": "Bearer",
        "sub": "anna",
        "email": "anna@example.org",
        "tenant_id": "7",
        "roles": ["ops"],
        "iat": now,
        "exp": now + 300,
    } | changes
    # A timedelta is from now: what a parameter says at import is late by the time.
    return {
        name: now + value.total_seconds() if isinstance(value, timedelta) else value
        for name, value in good.items()
        if value is not None
    }


def token(
    key: jwk.RSAKey | jwk.ECKey = KEY,
    *,
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    full = {"alg": "RS256", "kid": key.kid} | (header or {})
    full = {name: value for name, value in full.items() if value is not None}
    return jwt.encode(full, claims(**changes), key, algorithms=[full["alg"]])


async def enter(
    module: ModuleType, bearer: str, **headers: str
) -> Auth.types.MinimalUserDict:
    sent = {
        name.replace("_", "-").encode(): text.encode() for name, text in headers.items()
    }
    user: Auth.types.MinimalUserDict = await module.authenticate(
        authorization=f"Bearer {bearer}", headers=sent
    )
    return user


async def refusal(module: ModuleType, bearer: str, **headers: str) -> HTTPException:
    with pytest.raises(HTTPException) as refused:
        await enter(module, bearer, **headers)
    assert not bearer or bearer not in refused.value.detail
    return refused.value


def context(resource: Any, action: Any, **user: Any) -> Auth.types.AuthContext:
    known: Any = {"identity": "anna", "tenant_id": "7", "roles": []} | user
    return Auth.types.AuthContext(
        permissions=[], user=known, resource=resource, action=action
    )


async def decide(
    module: ModuleType, resource: str, action: str, value: Any, **user: Any
) -> Any:
    """Ask the most specific handler, as LangGraph's dispatch does."""
    found = module.auth._handlers.get((resource, action), module.auth._global_handlers)
    return await found[-1](ctx=context(resource, action, **user), value=value)


# Settings


@pytest.mark.parametrize("missing", REQUIRED)
def test_without_a_required_setting_it_refuses_to_load(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    environ = {name: text for name, text in REQUIRED.items() if name != missing}

    with pytest.raises(ValueError, match=f"^Set {missing} in the LangGraph"):
        load(monkeypatch, **environ)


def test_keys_are_fetched_over_http_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="must begin with https://"):
        load(monkeypatch, **REQUIRED, NEXIUS_JWKS_URL="file:///etc/passwd")


def test_the_key_sets_address_defaults_to_keycloaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load(monkeypatch, **REQUIRED)

    assert module.settings.jwks_url == f"{ISSUER}/protocol/openid-connect/certs"
    assert module.settings.client_id is None


def test_the_file_imports_nothing_of_ours() -> None:
    text = FILE.read_text()

    assert "import graph_proxy" not in text
    assert "from graph_proxy" not in text
    assert "from ." not in text


# Tokens


@pytest.mark.parametrize(
    ("key", "algorithm"), [(KEY, "RS256"), (KEY, "PS256"), (CURVE, "ES256")]
)
async def test_a_good_token_names_the_user(
    handler: ModuleType, key: jwk.RSAKey | jwk.ECKey, algorithm: str
) -> None:
    user = await enter(handler, token(key, header={"alg": algorithm}))

    assert user == {
        "identity": "anna",
        "is_authenticated": True,
        "permissions": ["ops"],
        "tenant_id": "7",
        "roles": ["ops"],
        "email": "anna@example.org",
        "store_namespace": "tenant-7-",
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"aud": "account"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"azp": "phone"}, "another client"),
        ({"azp": None}, "another client"),
        ({"typ": "ID"}, "not an access token"),
        ({"typ": None}, "not an access token"),
        ({"sub": None}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"exp": timedelta(seconds=-31)}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": True}, "expired"),
        ({"exp": "4102444800"}, "expired"),
        ({"iat": timedelta(seconds=300)}, "iat lies ahead"),
        ({"nbf": timedelta(seconds=300)}, "nbf lies ahead"),
        ({"nbf": "0"}, "nbf lies ahead"),
    ],
)
async def test_a_claim_that_does_not_fit_is_401(
    handler: ModuleType, changes: dict[str, Any], problem: str
) -> None:
    refused = await refusal(handler, token(**changes))

    assert refused.status_code == 401
    assert refused.detail == f"The access token is not accepted: {problem}."


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "graph"},
        {"exp": timedelta(seconds=-5)},
        {"iat": timedelta(seconds=100), "nbf": timedelta(seconds=100)},
        {"iat": None},
    ],
)
async def test_small_differences_between_clocks_are_forgiven(
    handler: ModuleType, changes: dict[str, Any]
) -> None:
    assert await enter(handler, token(**changes))


def signed_with_the_public_key() -> str:
    """Return an HS256 token whose secret is what everybody can read."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    header = json.dumps({"alg": "HS256", "kid": "rsa"}).encode()
    body = part(header) + b"." + part(json.dumps(claims()).encode())
    mac = hmac.digest(KEY.as_pem(private=False), body, "sha256")
    return (body + b"." + part(mac)).decode()


async def test_a_forged_token_is_401(handler: ModuleType) -> None:
    good = token()
    head, body, signature = good.split(".")
    forged = [
        "",
        "nonsense",
        "a.b.c",
        "\u00e4.\u00e4.\u00e4",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        good + "x" * 20_000,
        token(OTHER),
        token(OTHER, header={"kid": "elsewhere"}),
        token(header={"kid": None}),
        token(OTHER, header={"jwk": OTHER.as_dict(private=False)}),
        token(OTHER, header={"jku": "http://127.0.0.1:1/keys"}),
        token(header={"alg": "RS512"}),
        token(header={"kid": "ec"}),
        signed_with_the_public_key(),
    ]

    assert [(await refusal(handler, bad)).status_code for bad in forged] == [401] * 15
    named = token(header={"jku": "http://127.0.0.1:1/keys"})
    assert await enter(handler, named), "a header naming a key is ignored, not fatal"


async def test_only_bearer_is_a_scheme(handler: ModuleType) -> None:
    for sent in None, "", "Bearer", "Bearer ", f"Basic {token()}":
        with pytest.raises(HTTPException) as refused:
            await handler.authenticate(authorization=sent, headers={})
        assert refused.value.status_code == 401
    assert await handler.authenticate(authorization=f"bearer {token()}", headers={})


# Tenant and roles


@pytest.mark.parametrize("claim", ["7", 7], ids=repr)
async def test_the_tenant_comes_from_the_claim(handler: ModuleType, claim: Any) -> None:
    user: Any = await enter(handler, token(tenant_id=claim))

    assert user["tenant_id"] == "7"


@pytest.mark.parametrize(
    "claim",
    [None, "", "0", "07", "seven", "7 ", "\u0667", "-7", 7.0, True, ["7"], "1" * 20],
    ids=ascii,
)
async def test_no_usable_tenant_is_403(handler: ModuleType, claim: Any) -> None:
    assert (await refusal(handler, token(tenant_id=claim))).status_code == 403


@pytest.mark.parametrize("claim", ["7", None])
async def test_the_gateways_tenant_wins_and_leaves_the_claims_roles_behind(
    handler: ModuleType, claim: str | None
) -> None:
    user: Any = await enter(
        handler, token(tenant_id=claim), x_gateway_key="shared", x_tenant_id="9"
    )

    assert (user["tenant_id"], user["roles"]) == ("9", [])


@pytest.mark.parametrize(
    "headers",
    [
        {"x_tenant_id": "9"},
        {"x_tenant_id": "9", "x_gateway_key": "guessed"},
        {"x_tenant_id": "7", "x_gateway_key": ""},
        {"x_tenant_id": "nine", "x_gateway_key": "shared"},
    ],
)
async def test_a_tenant_nobody_vouches_for_is_403(
    handler: ModuleType, headers: dict[str, str]
) -> None:
    assert (await refusal(handler, token(), **headers)).status_code == 403


async def test_without_a_gateway_key_only_the_claim_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load(monkeypatch, **REQUIRED)
    vars(module)["key_set"] = module.KeySet("", fetch=lambda _: {"rsa": KEY})

    user: Any = await enter(module, token(), x_tenant_id="7", x_gateway_key="any")
    refused = await refusal(module, token(), x_tenant_id="9", x_gateway_key="any")

    assert user["tenant_id"] == "7"
    assert refused.status_code == 403


async def test_roles_fall_back_to_the_realms(handler: ModuleType) -> None:
    realm = {"roles": ["viewer", 3]}
    fallen: Any = await enter(handler, token(roles=None, realm_access=realm))
    none: Any = await enter(handler, token(roles="admin", email=5))

    assert fallen["roles"] == fallen["permissions"] == ["viewer"]
    assert (none["roles"], none["email"]) == ([], None)


# Keys


class Provider:
    """Counts fetches; *keys* may be an error instead."""

    def __init__(self, keys: dict[str, Any] | Exception) -> None:
        self.keys = keys
        self.fetches = 0
        self.now = 1000.0

    def fetch(self, _: str) -> dict[str, Any]:
        self.fetches += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


async def test_keys_are_refetched_for_an_unknown_id_but_not_often(
    handler: ModuleType,
) -> None:
    provider = Provider({"old": KEY})
    keys = handler.KeySet("", fetch=provider.fetch, clock=lambda: provider.now)
    assert await keys.find("old") is KEY
    provider.keys = {"new": OTHER}

    assert await keys.find("new") is None  # asked a moment ago
    provider.now += 31
    assert await keys.find("new") is OTHER
    assert await keys.find("old") is None
    assert provider.fetches == 2


async def test_an_outage_leaves_the_known_keys_in_use(handler: ModuleType) -> None:
    provider = Provider({"old": KEY})
    keys = handler.KeySet("", fetch=provider.fetch, clock=lambda: provider.now)
    await keys.find("old")
    provider.keys = OSError("down")
    provider.now += 10_000

    assert await keys.find("old") is KEY
    assert await keys.find("new") is None
    assert provider.fetches == 2


async def test_many_callers_share_one_fetch_that_no_one_can_cancel(
    handler: ModuleType,
) -> None:
    gate, fetches = threading.Event(), 0

    def fetch(_: str) -> dict[str, Any]:
        nonlocal fetches
        fetches += 1
        gate.wait(5)
        return {"rsa": KEY}

    keys = handler.KeySet("", fetch=fetch)
    waiting = [asyncio.create_task(keys.find("rsa")) for _ in range(5)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    gate.set()
    _, *found = await asyncio.gather(*waiting, return_exceptions=True)

    assert found == [KEY] * 4
    assert fetches == 1


async def test_without_any_key_nothing_is_decided(handler: ModuleType) -> None:
    provider = Provider(ValueError("not a key set"))
    vars(handler)["key_set"] = handler.KeySet("", fetch=provider.fetch)

    assert (await refusal(handler, token())).status_code == 503


@contextmanager
def serving(status: int, body: bytes, **headers: str) -> Generator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/certs"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_only_named_signing_keys_are_taken(handler: ModuleType) -> None:
    public = KEY.as_dict(private=False)
    entries = [
        public,
        public | {"kid": "encrypts", "use": "enc"},
        {k: v for k, v in (public | {"kid": "any"}).items() if k != "use"},
        {k: v for k, v in public.items() if k != "kid"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "use": "sig"},
        {"kty": "RSA", "kid": "broken", "use": "sig"},
        "no key",
    ]

    with serving(200, json.dumps({"keys": entries}).encode()) as url:
        keys = handler.fetch_keys(url)

    assert list(keys) == ["rsa"]


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"keys": 1}', b"<html>", b"\xff"])
def test_an_answer_that_is_no_key_set_is_an_error(
    handler: ModuleType, body: bytes
) -> None:
    with serving(200, body) as url, pytest.raises(ValueError):  # noqa: PT011
        handler.fetch_keys(url)


@pytest.mark.parametrize("status", [302, 404, 503])
def test_redirects_and_errors_yield_no_keys(handler: ModuleType, status: int) -> None:
    good = json.dumps({"keys": [KEY.as_dict(private=False)]}).encode()
    with (
        serving(200, good) as target,
        serving(status, good, Location=target) as url,
        pytest.raises(OSError),  # noqa: PT011 - urllib's own, any of them
    ):
        handler.fetch_keys(url)


# Handlers


@pytest.mark.parametrize(
    ("resource", "action"),
    [
        ("threads", "adopt"),
        ("runs", "create"),
        ("assistants", "publish"),
        ("store", "drop"),
        ("crons", "fire"),
        ("secrets", "read"),
    ],
)
async def test_what_is_unknown_is_refused(
    handler: ModuleType, resource: str, action: str
) -> None:
    assert await decide(handler, resource, action, {}) is False


def test_every_pair_the_sdk_knows_has_a_handler(handler: ModuleType) -> None:
    pairs = {
        (resource, action)
        for resource in ("threads", "assistants", "crons")
        for action in ("create", "read", "update", "delete", "search")
    }
    actions = ("put", "get", "search", "delete", "list_namespaces")
    pairs |= {("store", action) for action in actions} | {("threads", "create_run")}

    assert set(handler.auth._handlers) == pairs


async def test_a_user_without_a_tenant_gets_nowhere(handler: ModuleType) -> None:
    studio: Any = Auth.types.StudioUser("langgraph-studio-user")
    for (resource, action), [handle] in handler.auth._handlers.items():
        ctx = context(resource, action)
        ctx.user = studio
        with pytest.raises(HTTPException) as refused:
            await handle(ctx=ctx, value={})
        assert refused.value.status_code == 403


@pytest.mark.parametrize(
    ("resource", "action"),
    [
        ("threads", "create"),
        ("threads", "update"),
        ("threads", "create_run"),
        ("crons", "create"),
        ("crons", "update"),
        ("assistants", "create"),
        ("assistants", "update"),
    ],
)
async def test_writes_carry_the_callers_tenant(
    handler: ModuleType, resource: str, action: str
) -> None:
    metadata = {"tenant_id": "70", "mine": 1}
    value = {"metadata": metadata}

    assert await decide(handler, resource, action, value) == {"tenant_id": "7"}
    assert value["metadata"] is metadata, "the server reads its own dict afterwards"
    assert metadata == {"tenant_id": "7", "mine": 1}


async def test_a_cron_is_signed_with_whoever_writes_it(handler: ModuleType) -> None:
    forged = {"langgraph_auth_user": {"identity": "root", "tenant_id": "70"}}
    payload: dict[str, Any] = {
        "config": {"configurable": dict(forged)},
        "metadata": {"tenant_id": "70"},
    }
    await decide(handler, "crons", "create", {"payload": payload, "metadata": {}})
    kept: dict[str, Any] = {"input": {}}
    await decide(handler, "crons", "update", {"payload": kept})

    user = {"identity": "anna", "tenant_id": "7", "roles": []}
    assert payload["config"]["configurable"]["langgraph_auth_user"] == user
    assert payload["metadata"] == {"tenant_id": "7"}
    assert kept == {"input": {}}, "without a config the stored, signed one stays"


async def test_a_runs_context_says_nothing_about_the_user(handler: ModuleType) -> None:
    described = dict.fromkeys(handler.IDENTITY_KEYS, "root") | {"tone": "dry"}
    value = {"metadata": {}, "kwargs": {"context": described}}

    await decide(handler, "threads", "create_run", value)

    assert described == {"tone": "dry"}


async def test_store_labels_hold_no_other_tenants_label(handler: ModuleType) -> None:
    labels = [handler.store_namespace(tenant) for tenant in ("7", "70", "17", "700")]

    assert not any(a != b and a.startswith(b) for a in labels for b in labels)


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ((), ("tenant-7-",)),
        (("notes",), ("tenant-7-", "notes")),
        (("tenant-7-", "notes"), ("tenant-7-", "notes")),
        (("tenant-70-", "notes"), ("tenant-7-", "tenant-70-", "notes")),
        (None, ("tenant-7-",)),
    ],
)
async def test_the_store_is_entered_below_the_tenants_label(
    handler: ModuleType, asked: Any, used: tuple[str, ...]
) -> None:
    for action in "put", "get", "search", "delete", "list_namespaces":
        value = {"namespace": asked}
        assert await decide(handler, "store", action, value) is True
        assert value["namespace"] == used


@pytest.mark.parametrize(
    ("asked", "depth"), [(None, 2), (("notes",), 2), (("tenant-7-", "notes"), 1)]
)
async def test_the_label_does_not_count_into_a_clients_depth(
    handler: ModuleType, asked: Any, depth: int
) -> None:
    value = {"namespace": asked, "max_depth": 1}

    await decide(handler, "store", "list_namespaces", value)

    assert value["max_depth"] == depth


async def test_a_key_meant_for_another_algorithm_is_not_used(
    handler: ModuleType,
) -> None:
    meant = jwk.RSAKey.import_key(KEY.as_dict(private=True) | {"alg": "RS256"})
    keys = {"rsa": meant}
    vars(handler)["key_set"] = handler.KeySet("", fetch=lambda _: keys)

    assert await enter(handler, token(header={"alg": "RS256"}))
    refused = await refusal(handler, token(header={"alg": "PS256"}))
    assert refused.status_code == 401
