"""What the sections of the configuration are made of."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError

_POSTGRES = ("postgresql://", "postgres://")
_LARGEST_PORT = 65535
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[\w.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)
DEFAULT_PORTS = {"http": 80, "https": 443}
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


def as_browsers_write(origin: str) -> str | None:
    """Return *origin* in lower case and without a default port, None if it is none."""
    match = _ORIGIN.fullmatch(origin)
    if match is None or not is_port(match["port"] or "80"):
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    return f"{scheme}://{host}" + ("" if port == DEFAULT_PORTS[scheme] else f":{port}")


def is_http_address(url: str) -> bool:
    """Tell whether *url* is a usable http(s) address, with a path or without."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    return as_browsers_write(f"{scheme}://{place}") is not None and not (
        set(path) & set("?#") or any(sign.isspace() for sign in path)
    )


def is_port(text: str) -> bool:
    """Tell whether *text* is the number of a port."""
    return text.isascii() and text.isdigit() and int(text[:6]) <= _LARGEST_PORT


def is_loopback(url: str) -> bool:
    """Tell whether *url* names this machine; what is no address at all passes."""
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return True  # which is said elsewhere
    return is_loopback_name(name)


def is_loopback_name(name: str) -> bool:
    """Tell whether a host *name* or address is this machine's own."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


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
