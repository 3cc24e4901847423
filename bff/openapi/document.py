"""Write the OpenAPI 3.1 document of the routes that a configuration serves."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bff.access import GRAPH
from bff.errors import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    ShuttingDown,
    TooBusy,
    TooLarge,
)
from bff.errors_graph import AnswerLost, GraphUnavailable, TooManyStreams
from bff.openapi.data import DATA_AND_PAGES
from bff.openapi.identity import IDENTITY
from bff.openapi.problems import by_status, is_gated, of_access, of_route, response
from bff.openapi.schemas import SCHEMAS
from bff.openapi.shapes import INTEGER, TEXT, UUID, Schema
from bff.openapi.tenant import TENANT
from bff.openapi.words import ABOUT, PROXIED, TAGS, parameters_of_all, schemes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bff.config import Config
    from bff.config_proxy import ProxyTarget
    from bff.openapi.operation import Answer, Key, Operation, Parameter
    from bff.openapi.problems import Problems
    from bff.routes import Route

OPERATIONS: dict[Key, Operation] = {**IDENTITY, **TENANT, **DATA_AND_PAGES}
# What stands in a path; whatever else is text.
_IN_PATHS: dict[str, Schema] = {
    "tenant_id": INTEGER,
    "rule_id": INTEGER,
    "session_id": UUID,
    "invite_id": UUID,
}
# A longer name of an answer helps nobody; it stands where it is used.
LONGEST = 100
_MODELS = "#/components/schemas/{model}"
_PROXY_ERRORS = (
    NotFound,
    MethodNotAllowed,
    BadRequest,
    TooLarge,
    GraphUnavailable,
    AnswerLost,
    ShuttingDown,
    TooBusy,
    TooManyStreams,
)


def document(
    public: Iterable[Route], admin: Iterable[Route], config: Config
) -> dict[str, Any]:
    """Return the document of both listeners' routes.

    Raises:
        KeyError: for a route that nobody has described.
    """
    writer = _Writer(config)
    paths: dict[str, dict[str, Any]] = {}
    for route in public:
        item = paths.setdefault(path_of(route), {})
        item[route.method.lower()] = writer.operation(route)
    here = {"url": config.canonical_origin, "description": "The public listener."}
    there = {
        "url": f"http://{config.server.admin_listen}",
        "description": "The admin listener.",
    }
    for route in admin:
        known = route.path in paths
        item = paths.setdefault(route.path, {})
        item["servers"] = [here, there] if known else [there]
        item.setdefault(route.method.lower(), writer.operation(route))
    for target in config.proxy.values():
        if target.upstreams:
            paths[f"{target.prefix}/{{path}}"] = writer.proxied(target)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nexius BFF",
            "version": version("nexius-bff"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [here],
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": schemes(config),
            "parameters": parameters_of_all(config),
            "headers": _HEADERS,
            "responses": dict(sorted(writer.responses.items())),
            "schemas": dict(sorted(writer.schemas.items())),
        },
    }


def path_of(route: Route) -> str:
    """Return the path of *route* without the expressions of its parts."""
    return re.sub(r":[^}]+}", "}", route.path)


class _Writer:
    """Gather the parts of the document that operations share."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.schemas = dict(SCHEMAS)
        self.responses: dict[str, Any] = {}

    def operation(self, route: Route) -> dict[str, Any]:
        """Return what *route* takes and answers.

        Raises:
            KeyError: when nobody has described it.
        """
        key = (route.method, path_of(route))
        about = OPERATIONS[key]
        handler = (route.handler.__doc__ or "").strip().partition("\n")[0]
        found: dict[str, Any] = {
            "operationId": _identity(*key),
            "tags": [about.tag],
            "summary": about.summary or handler,
        }
        if about.about:
            found["description"] = about.about
        parameters = [*_of_path(key[1]), *map(_written, about.parameters)]
        if is_gated(route.method, route.access):
            parameters += self._gate()
        if parameters:
            found["parameters"] = parameters
        if (body := self._body(about)) is not None:
            found["requestBody"] = body
        found["security"] = _security(route, about)
        found["responses"] = self._answers(about, of_route(route, about))
        return found

    def proxied(self, target: ProxyTarget) -> dict[str, Any]:
        """Return what happens below a prefix whose servers are not ours."""
        parameters = [*_of_path("{path}"), *self._gate()]
        problems = by_status((*of_access("POST", GRAPH), *_PROXY_ERRORS))
        answers = {
            str(status): self._refer(status, codes)
            for status, codes in sorted(problems.items())
        }
        answers["default"] = {
            "description": "Whatever the server behind it answers, as it comes."
        }
        return {
            method: {
                "operationId": _identity(method, f"{target.prefix}/path"),
                "tags": ["Proxied"],
                "summary": "Hand the request to the graph server as the caller.",
                "description": PROXIED,
                "parameters": parameters,
                "security": [{"session": []}],
                "responses": answers,
            }
            for method in ("get", "post", "put", "patch", "delete")
        }

    def _gate(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {"$ref": "#/components/parameters/Origin"},
            {"$ref": "#/components/parameters/SecFetchSite"},
        ]
        if self._config.csrf.require_header:
            found.append({"$ref": "#/components/parameters/Required"})
        return found

    def _body(self, about: Operation) -> dict[str, Any] | None:
        if about.raw is not None:
            content = {kind: {"schema": schema} for kind, schema in about.raw.items()}
            return {"content": content, "required": "*/*" not in content}
        if about.body is None:
            return None
        schema = about.body.model_json_schema(ref_template=_MODELS)
        self.schemas.update(schema.pop("$defs", {}))
        name = about.body.__name__
        self.schemas[f"{name}Request"] = schema
        reference = {"$ref": f"#/components/schemas/{name}Request"}
        return {
            "content": {"application/json": {"schema": reference}},
            # A missing body is an empty object.
            "required": bool(schema.get("required")),
        }

    def _answers(self, about: Operation, problems: Problems) -> dict[str, Any]:
        found: dict[int, dict[str, Any]] = {
            answer.status: _answer(answer) for answer in about.answers
        }
        for status, codes in problems.items():
            if status in found:
                # One status, two kinds of body: a page, or a problem.
                content = response(status, codes)["content"]
                found[status].setdefault("content", {}).update(content)
            else:
                found[status] = self._refer(status, codes)
        return {str(status): found[status] for status in sorted(found)}

    def _refer(self, status: int, codes: dict[str, str]) -> dict[str, Any]:
        name = f"{status}-{'-'.join(sorted(codes))}"
        if len(name) > LONGEST:
            return response(status, codes)
        self.responses[name] = response(status, codes)
        return {"$ref": f"#/components/responses/{name}"}


_HEADERS = {
    "X-Request-ID": {
        "description": "What our log calls the request; on every answer.",
        "schema": TEXT,
    },
    "Retry-After": {
        "description": "Seconds until it is worth while to try again.",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def _answer(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.about}
    headers = {
        name: {"description": told, "schema": TEXT}
        for name, told in answer.headers.items()
    }
    if headers:
        found["headers"] = headers
    if answer.content:
        found["content"] = {
            kind: {"schema": schema} for kind, schema in answer.content.items()
        }
    return found


def _of_path(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _IN_PATHS.get(name, TEXT),
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def _written(parameter: Parameter) -> dict[str, Any]:
    found = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.about,
        "schema": parameter.schema,
    }
    return found | ({"required": True} if parameter.required else {})


def _security(route: Route, about: Operation) -> list[Mapping[str, list[str]]]:
    if about.security is not None:
        return [{name: [] for name in together} for together in about.security]
    return [{"session": []}] if route.access.session else []


def _identity(method: str, path: str) -> str:
    """Return what a generated client may call the operation."""
    words = re.sub(r"[^a-zA-Z0-9]+", "_", path).strip("_")
    return f"{method.lower()}_{words or 'index'}"
