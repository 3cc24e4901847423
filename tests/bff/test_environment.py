"""Variables become the nested shape of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bff.config import Config, ConfigError, load
from bff.environment import (
    ACRA_ALIASES,
    ACRA_OPPOSITES,
    ALIASES,
    REFUSED,
    EnvironmentSource,
    refusals,
    with_acra_aliases,
    with_files,
)

if TYPE_CHECKING:
    from pathlib import Path


def read(environ: dict[str, str]) -> dict[str, Any]:
    return EnvironmentSource(Config, environ)()


def test_names_are_split_at_double_underscores_and_lower_cased() -> None:
    assert read({"BFF_SERVER__ADMIN_LISTEN": "x", "BFF_ENVIRONMENT": "dev"}) == {
        "server": {"admin_listen": "x"},
        "environment": "dev",
    }


def test_foreign_variables_are_left_alone() -> None:
    assert read({"PATH": "/bin", "bff_server__listen": "x", "XBFF_A": "1"}) == {}


def test_unknown_names_are_handed_on_for_the_model_to_refuse() -> None:
    assert read({"BFF_NOSUCH__KEY": "1"}) == {"nosuch": {"key": "1"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('{"a": 1}', {"a": 1}),
        ("[not json", "[not json"),
        ("true", "true"),
        ("12", "12"),
        ('"quoted"', '"quoted"'),
        ("", ""),
    ],
)
def test_only_lists_and_tables_are_read_as_json(text: str, value: object) -> None:
    assert read({"BFF_X": text}) == {"x": value}


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_every_alias_names_a_setting_that_exists(alias: str) -> None:
    place: Any = Config.model_fields
    *steps, last = ALIASES[alias]
    model: Any = Config
    for step in steps:
        place = model.model_fields[step].default
        model = type(place) if hasattr(type(place), "model_fields") else None
        if model is None:
            break  # a table of tables, such as proxy
        place = model.model_fields
    if model is not None:
        assert last in place


def test_an_empty_alias_counts_as_unset() -> None:
    assert read({"NEXIUS_ISSUER": "", "COOKIE_SECURE": ""}) == {}


def test_a_deeper_name_and_a_table_are_laid_over_each_other() -> None:
    found = read({"BFF_AUTH": '{"issuer": "a", "scope": "b"}', "BFF_AUTH__SCOPE": "c"})

    assert found == {"auth": {"issuer": "a", "scope": "c"}}


def test_a_text_in_the_place_of_a_table_stays_to_be_refused() -> None:
    assert read({"BFF_AUTH": "oops", "BFF_AUTH__SCOPE": "c"}) == {"auth": "oops"}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_we_abolish_is_refused_with_a_sentence_without_its_value(
    name: str,
) -> None:
    (said,) = refusals({name: "hunter2"})

    assert said.startswith(f"{name}: ")
    assert "hunter2" not in said
    assert refusals({name: ""}) == []


def read_acra(environ: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = read(with_acra_aliases(environ)).get("acra", {})
    return found


def test_the_registers_names_of_before_are_read_for_it_alone() -> None:
    environ = {"API_URL": "https://x", "PAGE_SIZE": "7", "RESOURCE_ID": ""}

    assert read(environ) == {}
    assert read_acra(environ) == {"api_url": "https://x", "page_size": "7"}
    assert read_acra({**environ, "BFF_ACRA__PAGE_SIZE": "9"})["page_size"] == "9"


@pytest.mark.parametrize(
    ("text", "on"),
    [("1", "false"), ("true", "false"), ("0", "true"), ("", "true"), ("no", "true")],
)
def test_what_was_switched_off_by_a_name_is_switched_by_its_opposite(
    text: str, on: str
) -> None:
    assert read_acra({"DISABLE_SCHEDULER": text}) == {"scheduled": on}


@pytest.mark.parametrize("name", [*ACRA_ALIASES.values(), *ACRA_OPPOSITES.values()])
def test_the_registers_names_of_before_mean_settings_that_exist(name: str) -> None:
    section, key = name.removeprefix("BFF_").lower().split("__")

    assert key in type(Config.model_fields[section].default).model_fields


def test_files_of_a_folder_stand_for_variables_and_variables_win(
    tmp_path: Path,
) -> None:
    (tmp_path / "BFF_AUTH__CLIENT_SECRET").write_text("from the file\n")
    (tmp_path / "NEXIUS_ISSUER").write_text("https://from.the.file")
    (tmp_path / "BFF_SESSION__KEYS").write_text("of the file")
    (tmp_path / "PATH").write_text("/nowhere")
    (tmp_path / "..data").mkdir()  # as Kubernetes has it

    found = with_files(
        {"BFF_SECRETS_DIR": str(tmp_path), "BFF_SESSION__KEYS": "of the variable"}
    )

    assert read(found) == {
        "auth": {"client_secret": "from the file", "issuer": "https://from.the.file"},
        "session": {"keys": "of the variable"},
    }
    assert "PATH" not in found


def test_a_folder_of_secrets_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(environ={"BFF_SECRETS_DIR": str(tmp_path / "none")})

    assert raised.value.problems == [
        f"BFF_SECRETS_DIR: {tmp_path / 'none'}: No such file or directory"
    ]


def test_a_file_that_is_no_text_does_not_show_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "BFF_SESSION__KEYS").write_bytes(b"secret\xff")

    with pytest.raises(ConfigError) as raised:
        load(environ={"BFF_SECRETS_DIR": str(tmp_path)})

    assert raised.value.problems == ["BFF_SECRETS_DIR: holds a file that is not UTF-8"]


def test_a_wrong_setting_from_a_file_is_named_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "BFF_NOSUCH__KEY").write_text("1")

    with pytest.raises(ConfigError, match=r"nosuch: there is no such setting"):
        load(environ={"BFF_SECRETS_DIR": str(tmp_path)})
