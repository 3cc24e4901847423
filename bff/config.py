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

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from bff.config_acra import Acra
from bff.config_database import Database
from bff.config_dev import Dev, SplitOrigin
from bff.config_identity import Auth, Register
from bff.config_odoo import Odoo
from bff.config_operating import Audit, Info, Telemetry, Worker
from bff.config_proxy import ProxyTarget
from bff.config_rules import problems_of
from bff.config_server import Server
from bff.config_sessions import Csrf, Session
from bff.config_tenancy import Exports, Onboarding, Tenancy
from bff.config_ui import Ui
from bff.environment import FOLDER, EnvironmentSource, refusals, with_files

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FILE = Path("config.toml")


class ConfigError(Exception):
    """Hold every problem of a configuration, one sentence each, with its key."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"The configuration cannot be used:\n{listed}")


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
    split_origin: SplitOrigin = SplitOrigin()
    dev: Dev = Dev()
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
    def split_origins(self) -> tuple[str, ...]:
        """Return the origins of UIs in development: none in any other environment."""
        return self.split_origin.origins if self.environment == "dev" else ()

    @property
    def trusted_origins(self) -> tuple[str, ...]:
        """Return the origins whose pages may act: ours, and a UI's in development."""
        return self.server.public_origins + self.split_origins

    @property
    def lets_bypass(self) -> bool:
        """Tell whether headers may say who somebody is; never outside development."""
        return self.dev.bypass and self.environment == "dev"

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
    try:
        environ = with_files(os.environ if environ is None else environ)
    except UnicodeDecodeError:
        raise ConfigError([f"{FOLDER}: holds a file that is not UTF-8"]) from None
    except OSError as error:
        said = f"{error.filename}: {error.strerror}"
        raise ConfigError([f"{FOLDER}: {said}"]) from error
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
