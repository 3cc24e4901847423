"""Write the reference pages from the code, so that they cannot drift from it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from bff.config import Config, build
from bff.config_proxy import ProxyTarget
from bff.dev import reference_cli
from bff.environment import ALIASES, REFUSED
from bff.origin import Gate
from bff.routes import ADMIN, PUBLIC, described
from bff.telemetry import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo

    from bff.access import Access
    from bff.routes import Route

NOTE = "<!-- Written by `make docs` from the code; changes here are lost. -->"


KINDS = {str: "text", int: "integer", float: "number", bool: "true/false"}

CONFIGURATION = f"""{NOTE}
# Configuration

`config.toml` (or the file that `BFF_CONFIG` or `--config` names) holds no secrets; the
environment wins over it. `section.key` is `BFF_SECTION__KEY`; lists and tables are
written as JSON. Unknown keys, in the file or as `BFF_…`, stop the start, and all
problems are reported at once. `bff doctor` checks what the values point at. A file in
the folder that `BFF_SECRETS_DIR` names sets the variable it is called by, unless that
is set.

```sh
BFF_SERVER__PUBLIC_ORIGINS='["https://app.example.com"]'
BFF_PROXY__GRAPH__UPSTREAMS='["http://langgraph:2024"]'
```

## Top level
"""

ALIASES_TEXT = """## Other names

Names of the original project; `BFF_…` wins over them.

| Variable | Setting |
|---|---|"""

ENDPOINTS = f"""{NOTE}
# Endpoints

Errors are `application/problem+json` (RFC 9457): `detail` is a sentence for a person,
`code` never changes, `request_id` is in the log. State-changing requests, and every
request below a proxy prefix, must come from our own origin: `Sec-Fetch-Site:
same-origin`, or else an `Origin` that is one of `server.public_origins` (in development
of `split_origin.origins`, too). A script sends `Origin`.

## Public listener
"""

PROXY_ROW = (
    "| any | `/graph/{path}` | member of a tenant, from our origin "
    "| Hand a request to the graph server as the caller, streaming both ways. |"
)
UI_ROW = (
    "| any | everything else | pages: signed in; open files: anyone "
    "| Show the user interface, unless it is the built-in one (docs/ui.md). |"
)


EXAMPLE = {
    "environment": "dev",
    "database": {
        "url": "postgresql://bff_app@localhost/bff",
        "worker_url": "postgresql://bff_worker@localhost/bff",
    },
    "auth": {
        "issuer": "http://localhost:8180/realms/nexius",
        "client_secret": "of-the-example",
    },
    "proxy": {"graph": {"upstreams": ["http://127.0.0.1:2024"]}},
}


def configuration() -> str:
    """Return docs/configuration.md."""
    environment = Config.model_fields["environment"]
    lines = [CONFIGURATION, *_table([("environment", environment)])]
    for attribute, field in Config.model_fields.items():
        name = field.alias or attribute
        section = ProxyTarget if name == "proxy" else field.annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            continue
        title = f"[{name}.NAME]" if name == "proxy" else f"[{name}]"
        about = (section.__doc__ or "").strip()
        lines += [f"## {title}", "", about, ""]
        lines += _table(section.model_fields.items())
    lines.append(ALIASES_TEXT)
    lines += [f"| `{name}` | `{'.'.join(path)}` |" for name, path in ALIASES.items()]
    lines += [f"\n`{name}` is refused: {why}." for name, why in REFUSED.items()]
    return "\n".join(lines) + "\n"


def endpoints() -> str:
    """Return docs/endpoints.md."""
    public, admin = _routes(PUBLIC), _routes(ADMIN)
    return "\n".join(
        [ENDPOINTS, *public, PROXY_ROW, UI_ROW, "", "## Admin listener", "", *admin, ""]
    )


METRICS = f"""{NOTE}
# Metrics

What the admin listener's `/metrics` says, in every process under the same names; what a
process never does stays empty. `bff worker` has one at `[worker] admin_listen`. What to
look at, and what the alerts mean: [observability.md](observability.md). `process_…` are
the client library's own, of the process.

| Metric | Kind | Labels | Meaning |
|---|---|---|---|"""


def metrics() -> str:
    """Return docs/metrics.md."""
    made = Metrics()
    found = {}
    for family in made.registry.collect():
        ending = "_total" if family.type == "counter" else ""
        found[family.name + ending] = family
    rows = [
        f"| `{name}` | {one.type} | {_labels(made.labels.get(name, ()))} "
        f"| {one.documentation} |"
        for name, one in sorted(found.items())
    ]
    return "\n".join([METRICS, *rows, ""])


def _labels(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def commands() -> str:
    """Return docs/cli.md."""
    # By its name: the command line stands above what it starts.
    return reference_cli.page(import_module("bff.__main__").app, NOTE)


def openapi() -> str:
    """Return docs/openapi.json: of a development configuration with a graph server."""
    return described(build(EXAMPLE)).decode()


def _table(fields: Iterable[tuple[str, FieldInfo]]) -> list[str]:
    rows = [
        f"| `{name}` | {_kind(field.annotation)} | {_default(field)} "
        f"| {field.description or ''} |"
        for name, field in fields
    ]
    return ["| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows, ""]


def _kind(annotation: Any) -> str:  # noqa: ANN401 - any type there is
    if annotation is SecretStr:
        return "secret"
    arguments = [a for a in get_args(annotation) if a not in (type(None), Ellipsis)]
    if get_origin(annotation) is dict:
        return f"table of {_kind(arguments[-1])}"
    if get_origin(annotation) is tuple:
        return f"list of {_kind(arguments[0])}"
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return " or ".join(f"`{argument}`" for argument in arguments)
    if arguments:
        return _kind(arguments[0])
    name: str = KINDS.get(annotation) or annotation.__name__.lower()
    return name


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=False)
    if isinstance(value, SecretStr) or value in (None, "", (), PydanticUndefined):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _routes(routes: Iterable[Route]) -> list[str]:
    rows = [
        f"| {route.method} | `{route.path}` | {_who(route.access)} | {_about(route)} |"
        for route in routes
    ]
    return ["| Method | Path | For | What it does |", "|---|---|---|---|", *rows]


def _about(route: Route) -> str:
    return (route.handler.__doc__ or "Show a built-in page.").strip().splitlines()[0]


def _who(access: Access) -> str:
    if access.roles:
        return "role " + " or ".join(sorted(access.roles))
    if access.tenant:
        return "member of a tenant"
    if access.session:
        return "signed in"
    return "anyone" + (" (no origin check)" if access.gate is Gate.OPEN else "")


PAGES = {
    "cli.md": commands,
    "configuration.md": configuration,
    "endpoints.md": endpoints,
    "metrics.md": metrics,
    "openapi.json": openapi,
}


def main() -> None:
    """Write all reference pages into the folder that the command line names."""
    folder = Path(sys.argv[1])
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
