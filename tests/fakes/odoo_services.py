"""What a fake Odoo's services do: `common`, `db` and `object` behind /jsonrpc."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import odoo_backup
from tests.fakes.odoo_data import (
    SERVICE,
    Asked,
    FakeDatabase,
    Row,
)
from tests.fakes.odoo_keys import Key
from tests.fakes.odoo_raised import Raised, access_denied, cannot_connect

MASTER = "test-master-only"
TEMPLATE, TEMPLATE_KEY = "tpl_test", "template-key-for-tests-only"
SERVICE_LOGIN, SERVICE_PASSWORD = "bff-service", "Test-Service-Password-1"
ADMIN_PASSWORD = "Test-Admin-Password-1"


@dataclass
class Services:
    """The databases of a server, and what was asked of it."""

    series: str = "19.0"
    list_db: bool = True
    has_postgres: bool = True
    databases: dict[str, FakeDatabase] = field(default_factory=dict)
    only: tuple[str, ...] = ()  # `-d` without dbfilter
    seen: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    contexts: list[Row | None] = field(default_factory=list)
    programmatic: bool = False  # keys by keys: `generate` and `revoke`
    # By cookie: the database, the user, and the password and the provider's token that
    # were theirs when it was opened.
    sessions: dict[str, tuple[str, int, str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        template = self.initialised(TEMPLATE, password=ADMIN_PASSWORD)
        template.allows_connections = False
        template.install("contacts", "crm", "auth_oidc")
        service = {"login": SERVICE_LOGIN, "password": SERVICE_PASSWORD}
        template.insert("res.users", {**service, "name": "Service"}, at=SERVICE)
        template.keys[TEMPLATE_KEY] = Key(SERVICE, "template")
        for row in template.records["auth.oauth.provider"].values():
            row["enabled"] = False
        template.set_parameter("auth_signup.invitation_scope", "b2b")
        self.databases[TEMPLATE] = template

    def initialised(self, name: str, **options: Any) -> FakeDatabase:
        made = FakeDatabase.initialised(name, major=self.major, **options)
        made.programmatic = self.programmatic
        return made

    @property
    def major(self) -> int:
        return int(self.series.partition(".")[0])

    def asked(self, method: str) -> int:
        """Count the calls of a method."""
        return sum(name == method for name, _ in self.seen)

    def service(self, service: str, method: str, arguments: list[Any]) -> Any:
        self.seen.append((method, tuple(arguments)))
        if service == "common" and method == "version":
            return {"server_version": self.series, "server_serie": self.series}
        if service == "common" and method == "authenticate":
            name, login, password, _ = arguments
            return self._connected(name).signs_in(login, password) or False
        if service == "object" and method == "execute_kw":
            return self._execute_kw(*arguments)
        if service == "db" and self.major < 20:
            return self.manage(method, arguments)
        raise Raised("builtins.KeyError", service)

    def _execute_kw(
        self, name: str, uid: int, password: str, model: str, method: str, *rest: Any
    ) -> Any:
        database = self._connected(name)
        if not database.knows(uid, password):
            raise access_denied()
        if method in {"make_key", "remove", "run_check"}:
            said = "This method can only be accessed over HTTP"
            raise Raised("odoo.exceptions.UserError", said)
        return self._call_kw(database, uid, model, method, *rest)

    def _call_kw(
        self,
        database: FakeDatabase,
        uid: int,
        model: str,
        method: str,
        *rest: Any,
        session: str = "",
    ) -> Any:
        positional, options = (*rest, [], {})[:2]
        named, ids = dict(options), []
        context = named.pop("context", None)
        self.contexts.append(context)
        if method == "create":
            named["vals_list"] = positional[0]
        elif positional:
            ids = positional[0]
        try:
            return database.orm(
                Asked(uid, model, method, ids, named, context or {}, session)
            )
        except Raised as error:
            if error.name != "werkzeug.exceptions.NotFound":
                raise
            if error.message.startswith("the model"):
                said = f"Object {model} doesn't exist"
                raise Raised("odoo.exceptions.UserError", said) from error
            raise Raised("builtins.AttributeError", error.message) from error

    def open_session(self, params: Row) -> str:
        """Sign in and return the cookie."""
        name, password = params["db"], params["password"]
        uid = self._connected(name).signs_in(params["login"], password)
        if uid is None:
            raise access_denied()
        cookie = uuid.uuid4().hex
        token = self.databases[name].token_of(uid)
        self.sessions[cookie] = name, uid, password, token
        return cookie

    def in_session(self, cookie: str, params: Row) -> Any:
        """Call a method in a session, unless password or token were changed since."""
        name, uid, password, token = self.sessions.get(cookie, ("", 0, "", None))
        known = name and self._connected(name).knows(uid, password)
        if not known or self.databases[name].token_of(uid) != token:
            said = "Session expired"
            raise Raised("odoo.http.SessionExpiredException", said)
        database = self._connected(name)
        return self._call_kw(
            *(database, uid, params["model"], params["method"]),
            *(params["args"], params["kwargs"]),
            session=cookie,
        )

    def manage(self, method: str, arguments: list[Any]) -> Any:
        if method == "db_exist":
            (name,) = arguments
            there = name == "postgres" or name in self._open()
            return self.has_postgres and there
        if method == "list":
            if not self.list_db:
                raise access_denied()
            self._need_postgres()
            return self.listed()
        master, *rest = arguments
        if master != MASTER or not self.list_db:
            raise access_denied()
        act = getattr(self, f"_db_{method}", None)
        if act is None:
            raise Raised("builtins.KeyError", f"Method not found: {method}")
        return act(*rest)

    def _db_migrate_databases(self, _names: list[str]) -> bool:
        return True

    def _db_create_database(
        self, name: str, _demo: object, _lang: str, password: str, login: str
    ) -> bool:
        self._need_postgres()
        if name in self.databases:
            raise Raised(
                "odoo.service.db.DatabaseExists", f"database {name!r} already exists!"
            )
        self.databases[name] = self.initialised(name, login=login, password=password)
        return True

    def _db_duplicate_database(self, source: str, name: str) -> bool:
        self._need_postgres()
        if source not in self.databases:
            raise Raised(
                "psycopg2.errors.InvalidCatalogName",
                f'template database "{source}" does not exist\n',
            )
        if name in self.databases:
            raise Raised(
                "psycopg2.errors.DuplicateDatabase",
                f'database "{name}" already exists\n',
            )
        if self.databases[source].busy:
            raise Raised(
                "psycopg2.errors.ObjectInUse",
                f'source database "{source}" is being accessed by other users\n',
            )
        self.databases[name] = self.databases[source].copied(name)
        return True

    def _db_rename(self, old: str, new: str) -> bool:
        if new in self.databases:
            raise Raised(
                "builtins.Exception", f"Couldn't rename database {old} to {new}: …"
            )
        self.databases[new] = self.databases.pop(old)
        self.databases[new].name = new
        return True

    def _db_drop(self, name: str) -> bool:
        self._need_postgres()
        if name not in self.listed():
            return False
        del self.databases[name]
        return True

    def backup(self, master: str, name: str) -> bytes:
        """Return a zip (odoo/addons/web/controllers/database.py, backup)."""
        if master != MASTER or not self.list_db:
            raise access_denied()
        if name not in self.listed():
            raise Raised("builtins.Exception", f"Database {name!r} is not known")
        return odoo_backup.zipped(self.databases[name])

    def listed(self) -> list[str]:
        return sorted(one for one in self._open() if not self.only or one in self.only)

    def _open(self) -> list[str]:
        return [one.name for one in self.databases.values() if one.allows_connections]

    def _need_postgres(self) -> None:
        if not self.has_postgres:
            raise cannot_connect("the database system is shutting down")

    def _connected(self, name: str) -> FakeDatabase:
        self._need_postgres()
        if name not in self.databases:
            raise cannot_connect(f'database "{name}" does not exist')
        database = self.databases[name]
        if not database.allows_connections:
            raise cannot_connect(
                f'database "{name}" is not currently accepting connections'
            )
        if database.is_broken:
            raise Raised("builtins.KeyError", "res.users", "res.users")
        return database
