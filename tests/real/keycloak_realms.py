"""The two test realms as both providers get them: people, clients, lifetimes."""

from __future__ import annotations

from dataclasses import replace

from bff.dev.provider import Client, Person, Realm

PASSWORD = "Correct-Horse-1"
TOTP_SECRET = "NEXIUSTOTPSECRET0001"
BFF, ODOO, PROVISIONER = "nexius-bff", "nexius-odoo", "nexius-provisioner"
CALLBACK = "http://127.0.0.1:8080/auth/callback"
HOME = "http://127.0.0.1:8080/"
ROLES = ("admin", "viewer", "ops")
MAY = ("manage-users", "manage-organizations", "manage-clients")

PLAIN = Realm(
    name="nexius",
    access_ttl=60,
    idle_ttl=300,
    max_ttl=1800,
    login_ttl=300,
    otp_reusable=True,
    failure_factor=5,
    wait_increment=2,
    max_failure_wait=4,
)
ROTATE = replace(PLAIN, name="nexius-rotate", rotate=True, access_ttl=10)

PEOPLE = (
    Person(
        email="alice@acme.test",
        password=PASSWORD,
        tenant_id=1001,
        roles=("admin",),
        first_name="Alice",
        last_name="Test",
    ),
    Person(
        email="bob@globex.test", password=PASSWORD, tenant_id=1002, roles=("viewer",)
    ),
    Person(
        email="dave@acme.test", password=PASSWORD, tenant_id=1001, roles=("viewer",)
    ),
    Person(email="carol@initech.test", password=PASSWORD),
    Person(
        email="totp@acme.test",
        password=PASSWORD,
        tenant_id=1001,
        totp_secret=TOTP_SECRET,
    ),
    Person(email="disabled@acme.test", password=PASSWORD, enabled=False),
    Person(
        email="pending@acme.test",
        password=PASSWORD,
        required_actions=("UPDATE_PASSWORD",),
    ),
    Person(email="lockme@acme.test", password=PASSWORD),
    Person(email="both@orgs.test", password=PASSWORD),
)
# Members by organization; the other realm has none, and so shows one-page sign-in.
ORGANIZATIONS = {
    "acme": ("alice@acme.test", "both@orgs.test"),
    "globex": ("bob@globex.test", "both@orgs.test"),
}


def secret(client_id: str) -> str:
    """Return a client's test secret."""
    return f"{client_id}-secret"


def clients(backchannel: str) -> tuple[Client, ...]:
    """Build the clients; *backchannel* and an id make the URL that hears of logouts."""
    return (
        *(
            Client(
                client_id=name,
                secret=secret(name),
                redirect_uris=(CALLBACK,),
                post_logout_redirect_uris=(HOME,),
                backchannel_logout_url=f"{backchannel}/{name}",
            )
            for name in (BFF, ODOO)
        ),
        Client(
            client_id=PROVISIONER,
            secret=secret(PROVISIONER),
            direct_grant=False,
            service_account=True,
        ),
    )
