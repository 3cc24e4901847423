"""File and environment become one configuration, or one message with every problem."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bff.config import Config, ConfigError, build, load
from bff.config_server import hosts
from tests.bff.configs import DEV, KEY, PRODUCTION, problems


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    file = Path("given.toml")
    file.write_text(text, encoding="utf-8")
    return file


def test_the_repository_s_own_file_lacks_only_what_must_not_stand_in_it() -> None:
    own = Path(__file__).parents[2] / "config.toml"

    assert set(problems({}, own)) == {
        "database.url",
        "database.worker_url",
        "auth.issuer",
        "auth.client_secret",
    }
    assert load(own, DEV).telemetry.log_format == "text"


def test_the_environment_wins_over_the_file_key_by_key() -> None:
    file = write('[auth]\nclient_id = "from-file"\naudience = "from-file"\n')

    found = load(file, {**DEV, "BFF_AUTH__CLIENT_ID": "from-env"})

    assert found.auth.client_id == "from-env"
    assert found.auth.audience == "from-file"


def test_the_file_is_named_by_a_variable_and_must_exist_then() -> None:
    file = write('[auth]\nclient_id = "from-file"\n')

    assert load(None, {**DEV, "BFF_CONFIG": str(file)}).auth.client_id == "from-file"
    missing = problems({**DEV, "BFF_CONFIG": "nowhere.toml"})
    assert missing == {"nowhere.toml": "there is no such file"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[auth\n", "not valid TOML"),
        (b'x = "\xff\xfe"\n', "not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_with_its_name(
    content: bytes, said: str
) -> None:
    Path("bad.toml").write_bytes(content)

    assert said in problems(DEV, Path("bad.toml"))["bad.toml"]


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    assert "folder" in problems(DEV, tmp_path)[str(tmp_path)]


def test_aliases_of_the_original_are_understood_and_lose_to_our_names() -> None:
    aliases = {
        "BFF_ENVIRONMENT": "dev",
        "DATABASE_URL": "postgresql://bff_app:x@old/bff",
        "BFF_WORKER__EMBEDDED": "false",
        "NEXIUS_ISSUER": "https://old.test/realms/x",
        "NEXIUS_CLIENT_ID": "old",
        "NEXIUS_CLIENT_SECRET": "old-secret",
        "NEXIUS_AUDIENCE": "old-audience",
        "LANGGRAPH_BASE_URL": "http://graph.test:2024/",
        "COOKIE_SECURE": "false",
    }

    old = load(None, aliases)
    new = load(None, {**aliases, "BFF_AUTH__CLIENT_ID": "new"})

    assert old.database.url.get_secret_value().endswith("@old/bff")
    assert old.auth.issuer == "https://old.test/realms/x"
    assert old.auth.client_secret.get_secret_value() == "old-secret"
    assert old.proxy["graph"].upstreams == ("http://graph.test:2024",)
    assert old.session.secure is False
    assert (old.auth.client_id, new.auth.client_id) == ("old", "new")
    assert new.auth.audience == "old-audience"


def test_a_table_in_one_variable_does_not_wipe_out_its_neighbours() -> None:
    found = load(
        None, {**DEV, "NEXIUS_CLIENT_ID": "kept", "BFF_AUTH": '{"audience": "table"}'}
    )

    assert (found.auth.client_id, found.auth.audience) == ("kept", "table")


def test_every_problem_is_in_one_message_each_with_its_key() -> None:
    file = write('[serverr]\nx = 1\n[auth]\nclientid = "x"\n')
    environ = {
        **PRODUCTION,
        "BFF_NOSUCH__KEY": "1",
        "BFF_SERVER__LISTEM": "1",
        "BFF_SERVER__ALLOWED_HOSTS": '["unclosed',
        "BFF_SERVER__DRAIN": "soon",
        "BFF_SERVER__PUBLIC_ORIGINS": '["https://*.example.com", "https://x/path"]',
        "BFF_SESSION__SAMESITE": "None",
        "BFF_AUTH__ISSUER": "http://sso.example.com/realms/x",
        "BFF_AUTH__CLIENT_SECRET": "",
        "DEV_AUTH_BYPASS": "true",
        "ODOO_TENANT_ADMIN_PASSWORD_FALLBACK": "hunter2-of-all-tenants",
    }
    del environ["BFF_SESSION__KEYS"]

    found = problems(environ, file)

    assert set(found) == {
        "serverr",
        "auth.clientid",
        "nosuch",
        "server.listem",
        "server.allowed_hosts",
        "server.drain",
        "server.public_origins.0",
        "server.public_origins.1",
        "session.samesite",
        "session.keys",
        "auth.issuer",
        "auth.client_secret",
        "dev.bypass",
        "ODOO_TENANT_ADMIN_PASSWORD_FALLBACK",
    }
    assert found["nosuch"] == "there is no such setting"
    assert all(len(said) > 8 for said in found.values())


def test_a_problem_found_twice_is_said_once_and_under_the_narrower_key() -> None:
    found = problems({**DEV, "BFF_DATABASE__URL": "", "BFF_SERVER__LISTEN": '["x"]'})

    assert set(found) == {"database.url", "server.listen"}


@pytest.mark.parametrize(
    "variable",
    [
        "BFF_AUTH__CLIENT_SECRET",
        "BFF_DATABASE__URL",
        "BFF_DATABASE__OWNER_URL",
        "BFF_SESSION__KEYS",
        "BFF_PROXY__GRAPH__GATEWAY_KEY",
    ],
)
@pytest.mark.parametrize("empty", ["", "  "])
def test_a_secret_set_to_nothing_is_refused(variable: str, empty: str) -> None:
    key = variable.removeprefix("BFF_").lower().replace("__", ".")

    assert "empty" in problems({**DEV, variable: empty})[key]


def test_no_secret_is_ever_in_a_message_or_a_repr() -> None:
    secrets = {
        "BFF_DATABASE__URL": "mysql://bff_app:pw-secret-1@db/bff",
        "BFF_DATABASE__WORKER_URL": "postgresql://bff_worker:pw-secret-2@db/bff",
        "BFF_AUTH__CLIENT_SECRET": '["pw-secret-3"]',
        "BFF_SESSION__KEYS": '{"pw": "pw-secret-4"}',
        "ODOO_TENANT_ADMIN_PASSWORD_FALLBACK": "pw-secret-5",
        "BFF_DRAIN": "pw-secret-6",
    }
    with pytest.raises(ConfigError) as caught:
        load(None, {**PRODUCTION, **secrets})
    assert "pw-secret" not in str(caught.value)
    assert "pw-secret" not in repr(caught.value)

    good = load(None, PRODUCTION)
    for text in (repr(good), str(good), str(good.model_dump())):
        assert "s3cret-of-the-client" not in text
        assert "pw-app" not in text
        assert KEY not in text


def test_orders_to_pydantic_settings_itself_are_unknown_settings() -> None:
    found = problems({**DEV, "BFF__CLI_PARSE_ARGS": "true", "BFF__ENV_FILE": "/etc/x"})

    assert set(found) == {"_cli_parse_args", "_env_file"}


def test_a_text_where_a_table_belongs_is_refused_not_forgotten() -> None:
    found = problems({**DEV, "BFF_AUTH": "oops", "BFF_AUTH__CLIENT_ID": "x"})

    assert "auth" in found


def test_lists_and_tables_are_json_and_texts_are_texts() -> None:
    found = load(
        None,
        {
            **DEV,
            "BFF_SERVER__ALLOWED_HOSTS": '["a.test", "b.test"]',
            "BFF_PROXY": '{"other": {"prefix": "/o", "upstreams": ["http://o.test"]}}',
            "BFF_AUTH__CLIENT_ID": "123",
        },
    )

    assert found.server.allowed_hosts == ("a.test", "b.test")
    assert found.proxy["other"].prefix == "/o"
    assert found.auth.client_id == "123"


def test_variables_of_commands_are_no_settings() -> None:
    load(
        None, {**DEV, "BFF_ADMIN_URL": "postgresql://x", "BFF_TEST_REQUIRE": "browser"}
    )


def test_a_configuration_is_frozen() -> None:
    found = load(None, DEV)

    with pytest.raises(ValidationError):
        found.environment = "production"  # type: ignore[misc]  # it is refused
    with pytest.raises(ValidationError):
        found.server.listen = "0.0.0.0:80"  # type: ignore[misc]  # it is refused


def test_endless_numbers_are_no_numbers() -> None:
    found = problems(
        {**DEV, "BFF_SERVER__DRAIN": "inf", "BFF_SESSION__LIFETIME": "nan"}
    )

    assert set(found) == {"server.drain", "session.lifetime"}


NAMES = st.one_of(
    st.sampled_from(
        [
            "BFF_SERVER__LISTEN",
            "BFF_SERVER__PUBLIC_ORIGINS",
            "BFF_SERVER",
            "BFF_SERVER__DRAIN",
            "BFF_DATABASE__URL",
            "BFF_AUTH__ISSUER",
            "BFF_AUTH",
            "BFF_SESSION__KEYS",
            "BFF_SESSION__LIFETIME",
            "BFF_PROXY",
            "BFF_PROXY__GRAPH__UPSTREAMS",
            "BFF_PROXY__GRAPH__PREFIX",
            "BFF_PROXY__",
            "BFF_DEV__BYPASS",
            "BFF_ENVIRONMENT",
            "LANGGRAPH_BASE_URL",
        ]
    ),
    st.text(max_size=12).map(lambda name: f"BFF_{name}"),
)
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            '["http://[::1"]',
            '["http://h:99999"]',
            "127.0.0.1:²",
            '["http://*"]',
            "[" * 99_999,
            "{}",
            '[{"a": [null]}]',
            '{"x": {"upstreams": [1]}}',
            "9" * 5000,
            "\udcff",
        ]
    ),
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
@example({"BFF_SERVER__PUBLIC_ORIGINS": '["http://[::1"]'})
@example({"BFF_SERVER__PUBLIC_ORIGINS": '["http://h:99999"]'})
@example({"BFF_SERVER__LISTEN": "127.0.0.1:²"})
@example({"BFF_SERVER__DRAIN": "[" * 99_999})
@example({"BFF_SERVER__\udcff": "x"})
@example({"BFF_PROXY__GRAPH__UPSTREAMS": '["http://[", "x"]'})
def test_whatever_is_set_ends_in_a_configuration_or_in_sentences(
    changes: dict[str, str],
) -> None:
    try:
        found: Config | list[str] = load(None, {**DEV, **changes})
    except ConfigError as error:
        found = error.problems
    assert hosts(found) if isinstance(found, Config) else found


def test_building_from_values_checks_them_the_same_way() -> None:
    with pytest.raises(ConfigError, match=r"database\.url: missing"):
        build({"environment": "dev"})
