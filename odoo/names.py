"""Which names databases get: Odoo's RPC checks none, so we do."""

from __future__ import annotations

import re

from odoo.errors import BadName

_ALLOWED = re.compile(r"[a-z][a-z0-9_]{2,40}", re.ASCII)
_POSTGRES_OWN = ("postgres", "template0", "template1")


def checked(name: str) -> str:
    """Return *name* if a database may be called so.

    Odoo 16 to 19 creates `../esc` (and later drops a folder outside its filestore) and
    lets PostgreSQL cut a name of 64 characters (odoo/service/db.py checks nothing).
    A dot would break `dbfilter = ^%d$`.

    Raises:
        BadName: It is none of ours.
    """
    if _ALLOWED.fullmatch(name) is None or name in _POSTGRES_OWN:
        raise BadName(f"{name[:60]!r} is no name for a database")
    return name
