"""Write JSON schemas (2020-12, as OpenAPI 3.1 takes them) in few words."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
YES_NO: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
SECONDS: Schema = {"type": "integer", "description": "Seconds since 1970."}


def one_of(*values: object) -> Schema:
    """Return what is one of *values*."""
    return {"enum": list(values)}


def whole(low: int, high: int | None = None, default: int | None = None) -> Schema:
    """Return a whole number from *low* to *high*."""
    found: Schema = {"type": "integer", "minimum": low}
    if high is not None:
        found["maximum"] = high
    if default is not None:
        found["default"] = default
    return found


def listed(item: Schema) -> Schema:
    """Return a list of *item*."""
    return {"type": "array", "items": item}


def perhaps(schema: Schema) -> Schema:
    """Return *schema*, or null."""
    if "$ref" in schema or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def exactly(**properties: Schema) -> Schema:
    """Return an object that has all of *properties*, and no others."""
    return with_others(properties, {})


def with_others(always: dict[str, Schema], sometimes: dict[str, Schema]) -> Schema:
    """Return an object that has all of *always*, some of *sometimes*, no others."""
    return {
        "type": "object",
        "properties": {**always, **sometimes},
        "required": list(always),
        "additionalProperties": False,
    }


def named(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}
