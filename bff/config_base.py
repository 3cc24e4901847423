"""What the sections of the configuration are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError


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
