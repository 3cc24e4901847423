"""What the sections of the configuration are made of."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError

_POSTGRES = ("postgresql://", "postgres://")
_LARGEST_PORT = 65535
# asyncpg takes several hosts; none where a socket is named by `?host=`.
_HOST = re.compile(
    r"(?:\[[0-9a-f:.%]+\]|[^:/?#@\[\]]*)(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)


def postgres_trouble(url: str, form: str) -> str:
    """Return what is wrong with a PostgreSQL URL that should look like *form*, or "".

    The driver is not asked: its own words repeat parts of the URL, which is secret.
    """
    if not url.startswith(_POSTGRES):
        return f"give {form}"
    try:
        place = urlsplit(url).netloc
    except ValueError:
        place = ":"
    hosts = place.rpartition("@")[2].split(",")
    if all(map(_is_host, hosts)):
        return ""
    return f"give {form}; signs like / ? # @ in a password are written %2F %3F %23 %40"


def _is_host(place: str) -> bool:
    found = _HOST.fullmatch(place)
    return found is not None and int(found["port"] or 0) <= _LARGEST_PORT


def _bare_origin(value: object) -> object:
    return value.rstrip("/") if isinstance(value, str) else value


def _filled(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise PydanticCustomError(
            "empty_secret", "is empty; give it a value, or leave it out"
        )
    return value


Origin = Annotated[str, BeforeValidator(_bare_origin)]
# Left out is one thing; set to nothing is a deployment that went wrong.
Secret = Annotated[SecretStr, AfterValidator(_filled)]


class Section(BaseModel):
    """Refuse unknown keys and later changes in every section."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )
