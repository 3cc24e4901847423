"""Read config.toml and the environment into one frozen value, or say all that is wrong.

Environment (``BFF_SECTION__KEY``, JSON for lists and tables) wins over the file. The
file holds safe development values and never a secret.
"""

from __future__ import annotations

import os
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from bff.config_base import Origin, Secret, Section
from bff.config_odoo import Odoo
from bff.config_rules import problems_of
from bff.config_ui import Ui
from bff.environment import EnvironmentSource, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FILE = Path("config.toml")


class ConfigError(Exception):
    """Hold every problem of a configuration, one sentence each, with its key."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"The configuration cannot be used:\n{listed}")


class Server(Section):
    """Where the gateway listens and which names it answers to."""

    listen: str = Field("127.0.0.1:8080", description="Address of the public listener.")
    admin_listen: str = Field(
        "127.0.0.1:9090",
        description="Address of the admin listener: health, readiness, metrics.",
    )
    public_origins: tuple[Origin, ...] = Field(
        ("http://localhost:8080", "http://127.0.0.1:8080"),
        min_length=1,
        description="Origins under which browsers reach the gateway; pages move to "
        "the first one.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Further host names answered to, beside those of public_origins.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="Addresses or CIDR blocks of the proxies in front, whose "
        "X-Forwarded-For is believed; nobody's by default.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that serve on the one port; each has an admin listener, "
        "on the port of admin_listen and those that follow.",
    )
    drain: float = Field(
        20.0,
        ge=0,
        description="Seconds that open streams, exports, renewals and registrations "
        "get at shutdown; closing takes up to 20 more.",
    )
    max_header: int = Field(
        32 * 1024, ge=8190, description="Largest request header field, bytes."
    )
    max_body: int = Field(
        256 * 1024, ge=1024, description="Largest body of the gateway's own routes."
    )


class Database(Section):
    """PostgreSQL, once for each role."""

    url: Secret = Field(SecretStr(""), description="URL of the serving role (bff_app).")
    owner_url: Secret = Field(
        SecretStr(""), description="URL of the owning role, for `bff migrate`."
    )
    worker_url: Secret = Field(
        SecretStr(""), description="URL of the worker role (bff_worker)."
    )
    listen_url: Secret = Field(
        SecretStr(""),
        description="Direct URL for LISTEN where url goes through PgBouncer.",
    )
    pool_size: int = Field(10, ge=2, description="Connections for serving.")
    command_timeout: float = Field(10.0, gt=0, description="Seconds for one statement.")


class Auth(Section):
    """The identity provider (Keycloak)."""

    issuer: str = Field(
        "", description="Issuer URL, compared exactly with every token."
    )
    client_id: str = Field("nexius-bff", description="The gateway's client.")
    client_secret: Secret = Field(
        SecretStr(""), description="Its secret; or give client_key_file."
    )
    client_key_file: Path | None = Field(
        None,
        description="File with its private key (PEM, RSA or P-256), instead of a "
        "secret: private_key_jwt. `bff keys client` makes one.",
    )
    client_key_id: str | None = Field(
        None,
        description="Key id that is sent; by default the key's thumbprint (RFC 7638), "
        'as in the JWKS of `bff keys client`. "" sends none.',
    )
    audience: str = Field("nexius-api", description="Required in `aud` of every token.")
    scope: str = Field("openid email profile", description="Scopes asked for.")
    direct_grant: bool = Field(
        default=True,
        description="POST /auth/login with a password; off removes the route.",
    )
    prompts: tuple[str, ...] = Field(
        ("login", "create"), description="Values of `prompt` that /auth/sso passes on."
    )
    timeout: float = Field(10.0, gt=0, description="Seconds for one provider call.")
    refusal_step: float = Field(
        0.5,
        ge=0,
        le=5,
        description="A refused password is answered after a multiple of these "
        "seconds, so that the time does not tell who has an account; 0 for at once.",
    )
    provisioner_client_id: str = Field(
        "",
        description="Another client, with a service account that may manage users.",
    )
    provisioner_client_secret: Secret = Field(
        SecretStr(""), description="Its secret; a leak of client_secret makes no users."
    )


class Register(Section):
    """Who may open an account."""

    mode: Literal["self_service", "admin_api", "off"] = Field(
        "self_service",
        description="`self_service`: the provider's own page; `admin_api`: the gateway "
        "asks the provider, with the provisioner client; `off`: there is no way here.",
    )
    per_address_daily: int = Field(20, ge=1, description="Tries from one network.")
    per_email_daily: int = Field(3, ge=1, description="Tries for one e-mail address.")


class Session(Section):
    """Cookies and lifetimes."""

    access_cookie: str = Field("nx_access", pattern=r"^[A-Za-z0-9_-]+$")
    refresh_cookie: str = Field("nx_refresh", pattern=r"^[A-Za-z0-9_-]+$")
    secure: bool | None = Field(
        None, description="Secure cookies; by default as the first public origin."
    )
    host_prefix: bool | None = Field(
        None, description="`__Host-` names; by default wherever cookies are Secure."
    )
    samesite: Literal["Lax", "Strict"] = "Lax"
    lifetime: float = Field(
        30 * 86400.0, gt=0, description="Seconds a session lives at most."
    )
    keys: Secret = Field(
        SecretStr(""),
        description="Key ring `id:base64,…`; the first seals, all open.",
    )
    key_file: Path | None = Field(
        None, description="File with the key ring, one `id:base64` a line."
    )


class Csrf(Section):
    """The gate in front of state-changing requests."""

    require_header: str | None = Field(
        None, description="Also demand this header, for UIs that can send one."
    )


class ProxyTarget(Section):
    """One prefix and the servers behind it."""

    prefix: str = Field("/graph", pattern=r"^/[a-z0-9_/-]*[a-z0-9]$")
    upstreams: tuple[Origin, ...] = Field((), description="Base URLs, one or several.")
    allow: tuple[str, ...] = Field(
        (),
        description='Further first path segments; ["*"] opens everything.',
    )
    forward_headers: tuple[str, ...] = Field(
        (), description="Further request headers that pass."
    )
    gateway_key: Secret = Field(
        SecretStr(""), description="Sent as X-Gateway-Key, proves that it is us."
    )
    connect_timeout: float = Field(5.0, gt=0)
    head_timeout: float = Field(300.0, gt=0, description="Seconds until the answer.")
    max_body: int = Field(100 * 2**20, gt=0)
    heartbeat: float | None = Field(None, gt=0)
    max_in_flight: int = Field(
        20_000,
        gt=0,
        description="Answers under way in one process; beyond it 503, for a balancer "
        "to try another.",
    )
    max_streams_per_session: int = Field(100, gt=0)
    max_streams_per_tenant: int = Field(2000, gt=0)


class Tenancy(Section):
    """How a session finds its tenant."""

    claim: Literal["trust", "check", "ignore"] = Field(
        "trust",
        description="`trust`: the claim tenant_id makes the membership (not a removed "
        "one); `check`: it must match a membership; `ignore`: memberships only.",
    )
    source: Literal["attribute", "organization"] = Field(
        "attribute",
        description="What the claim is: `tenant_id`, from an attribute of the person; "
        "or `organization`, whose alias is the tenant's number. The latter needs "
        "`organization` or `organization:*` in auth.scope.",
    )


class Onboarding(Section):
    """Who may open a new workspace."""

    open_to: Literal["anyone", "verified", "invited"] = "verified"
    per_person_daily: int = Field(3, ge=1)
    per_address_daily: int = Field(20, ge=1)


class Exports(Section):
    """Downloads of a tenant's data."""

    pool_size: int = Field(
        4,
        ge=1,
        description="Connections for exports alone, in each process: a slow reader "
        "holds one.",
    )
    per_tenant: int = Field(
        2, ge=1, description="Exports of one tenant at once, in each process."
    )
    max_seconds: float = Field(
        600.0,
        gt=0,
        description="Seconds an export may take; a reader who is slower is cut off.",
    )


class Worker(Section):
    """The job queue."""

    embedded: bool = Field(default=True, description="Run one inside `bff serve`.")
    heartbeat: float = Field(10.0, gt=0, le=10, description="Seconds.")
    dequeue: float = Field(5.0, gt=0, le=5, description="Seconds.")


class Acra(Section):
    """The Singapore company register."""

    collection_url: str = Field(
        "https://api-production.data.gov.sg/v2/public/api/collections/2/metadata",
        description="Where the datasets of the register are listed.",
    )
    api_url: str = Field(
        "https://data.gov.sg/api/action/datastore_search",
        description="Where a dataset is read, page by page.",
    )
    resource_id: str = Field(
        "", description="The one dataset to read; all of the collection by default."
    )
    method: Literal["bulk", "pages"] = Field(
        "bulk",
        description="How a whole dataset is read: as one file, or by `api_url`.",
    )
    page_size: int = Field(
        5000,
        ge=1,
        le=32000,
        description="Records asked for in one call, where `method` is `pages`.",
    )
    download_url: str = Field(
        "https://api-open.data.gov.sg/v1/public/api/datasets",
        description="Where a dataset's file is asked for.",
    )
    download_from: tuple[str, ...] = Field(
        (
            "https://s3.ap-southeast-1.amazonaws.com/table-downloads-ingest.data.gov.sg/",
            "https://s3.ap-southeast-1.amazonaws.com/blobs.data.gov.sg/",
        ),
        description="What the address of a file may begin with; no other is called.",
    )
    download_limit: int = Field(
        2**30, ge=2**20, description="Largest file of a dataset, bytes."
    )
    rate: int = Field(
        4,
        ge=2,
        description="Calls in ten seconds at most; half as many for files. Without a "
        "key 4, with one 8 (development) or 20 (production).",
    )
    api_key: Secret = Field(
        SecretStr(""), description="Key for data.gov.sg, which allows more calls."
    )
    timeout: float = Field(30.0, gt=0, description="Seconds for one call.")
    webhook_secret: Secret = Field(
        SecretStr(""),
        description="Signs POST /acra/ingest, at least 32 characters; several, divided "
        "by commas, while one replaces the other. Without it the route is closed.",
    )
    scheduled: bool = Field(
        default=False, description="Read the register at the times of `schedule`."
    )
    schedule: str = Field("22 1 * * *", description="When: a cron expression.")
    timezone: str = Field("Asia/Singapore", description="Whose time `schedule` is.")
    at_start: bool = Field(
        default=False, description="Queue a run when a worker starts, too."
    )
    page_by_page: bool = Field(
        default=False,
        description="`bff acra ingest` writes a page every `interval`; the worker "
        "knows nothing of it.",
    )
    interval: float = Field(10.0, gt=0, description="Seconds between two such pages.")
    refused_folder: Path | None = Field(
        None,
        description="Where the file of refused records is written; by default only "
        "`bff acra ingest` writes one, into the folder it is called in.",
    )


class Audit(Section):
    """What was done in a tenant, and by whom."""

    keep_days: int = Field(
        400, ge=1, le=36_500, description="Days until the worker deletes an entry."
    )


class Info(Section):
    """GET /info."""

    require_session: bool = False


class Telemetry(Section):
    """Logs."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"
    access_log: bool = Field(default=True, description="A line for each request.")


class Config(BaseSettings):
    """Everything the gateway can be told."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["production", "dev"] = Field(
        "production", description="`dev` allows plain http on loopback."
    )
    server: Server = Server()
    database: Database = Database()
    auth: Auth = Auth()
    # By another name here: `register` is a method of every abstract class.
    registration: Register = Field(Register(), alias="register")
    session: Session = Session()
    csrf: Csrf = Csrf()
    proxy: dict[str, ProxyTarget] = Field(
        default_factory=lambda: {"graph": ProxyTarget()}
    )
    tenancy: Tenancy = Tenancy()
    onboarding: Onboarding = Onboarding()
    exports: Exports = Exports()
    odoo: Odoo = Odoo()
    worker: Worker = Worker()
    acra: Acra = Acra()
    audit: Audit = Audit()
    ui: Ui = Ui()
    info: Info = Info()
    telemetry: Telemetry = Telemetry()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller only; `load` brings file and environment."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def canonical_origin(self) -> str:
        """Return the origin that pages end on."""
        return self.server.public_origins[0]

    @property
    def secure_cookies(self) -> bool:
        """Tell whether cookies carry Secure."""
        if self.session.secure is not None:
            return self.session.secure
        return self.canonical_origin.startswith("https://")

    @property
    def host_prefix(self) -> bool:
        """Tell whether cookie names carry `__Host-`."""
        if self.session.host_prefix is not None:
            return self.session.host_prefix
        return self.secure_cookies


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read *file* and *environ* (defaults: config.toml, the process's).

    Raises:
        ConfigError: with every problem found, each with its key.
    """
    environ = os.environ if environ is None else environ
    chosen = file or Path(environ.get("BFF_CONFIG", DEFAULT_FILE))
    if not chosen.exists() and (file or "BFF_CONFIG" in environ):
        raise ConfigError([f"{chosen}: there is no such file"])
    if chosen.is_dir():
        raise ConfigError([f"{chosen}: is a folder, give a file"])
    try:
        from_file = TomlConfigSettingsSource(Config, toml_file=chosen)()
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{chosen}: not valid TOML, {error}"]) from error
    except UnicodeDecodeError:
        raise ConfigError([f"{chosen}: not valid TOML, which is UTF-8"]) from None
    except OSError as error:
        raise ConfigError([f"{chosen}: {error.strerror}"]) from error
    merged = _merge(from_file, EnvironmentSource(Config, environ)())
    return build(merged, extra_problems=refusals(environ))


def build(values: dict[str, Any], extra_problems: list[str] | None = None) -> Config:
    """Check *values* as a whole and freeze them.

    Raises:
        ConfigError: with every problem found, each with its key.
    """
    problems = list(extra_problems or [])
    # Sorted out here: pydantic-settings takes some names as orders to itself.
    names = {field.alias or name for name, field in Config.model_fields.items()}
    known = {key: values[key] for key in values if key in names}
    problems += [
        f"{key}: there is no such setting" for key in values if key not in known
    ]
    try:
        config = Config(**known)
    except ValidationError as error:
        places = []
        for found in error.errors(include_input=False, include_url=False):
            places.append(found["loc"])
            key = ".".join(str(step) for step in found["loc"])
            said = found["msg"]
            if found["type"] == "extra_forbidden":
                said = "there is no such setting"
            problems.append(f"{key}: {said[0].lower()}{said[1:]}")
        problems += _further_problems(known, places)
        raise ConfigError(problems) from None
    problems += problems_of(config)
    if problems:
        raise ConfigError(problems)
    return config


def _further_problems(
    values: dict[str, Any], wrong: list[tuple[int | str, ...]]
) -> list[str]:
    """Judge what is left of *values* without the *wrong* places, as far as it goes."""
    rest = deepcopy(values)
    for place in wrong:
        tree: Any = rest
        for step in place[:-1]:
            below = tree.get(step) if isinstance(tree, dict) else None
            if not isinstance(below, dict):
                tree.pop(step, None)  # an entry of a list takes the list with it
                break
            tree = below
        else:
            tree.pop(place[-1], None)
    try:
        found = problems_of(Config(**rest))
    except ValidationError:
        return []
    reported = {".".join(str(step) for step in place) for place in wrong}
    return [
        problem
        for problem in found
        if not any(
            f"{problem.partition(': ')[0]}.".startswith(f"{key}.")
            or key.startswith(f"{problem.partition(': ')[0]}.")
            for key in reported
        )
    ]


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged
