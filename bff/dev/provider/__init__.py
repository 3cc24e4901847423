"""A Keycloak-shaped OpenID provider, for development and tests on loopback only.

Passwords are compared in the clear because they are published test credentials.
"""

from bff.dev.provider.model import Client, Event, Mail, Person, Realm
from bff.dev.provider.provider import Provider
from bff.dev.provider.serving import serving

__all__ = ["Client", "Event", "Mail", "Person", "Provider", "Realm", "serving"]
