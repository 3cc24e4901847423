"""All the failures that the gateway has a name for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import bff
from bff.errors import GatewayError

AREAS = sorted(file.stem for file in Path(bff.__path__[0]).glob("errors*.py"))
OURS = {import_module(f"bff.{area}").__name__ for area in AREAS}


def kinds(of: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Return every kind of failure below *of*."""
    children = [one for one in of.__subclasses__() if one.__module__ in OURS]
    return children + [deeper for child in children for deeper in kinds(child)]
