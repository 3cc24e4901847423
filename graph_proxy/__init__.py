"""Forward one HTTP request to an upstream and stream its answer back."""

from graph_proxy.errors import (
    BadPath,
    BodyBroken,
    BodyTooLarge,
    MethodRefused,
    PathRefused,
    ProxyError,
    UpstreamBroken,
    UpstreamUnavailable,
)
from graph_proxy.langgraph import LANGGRAPH
from graph_proxy.paths import Allow
from graph_proxy.proxy import Proxy
from graph_proxy.relay import Forwarded, abort

__all__ = [
    "LANGGRAPH",
    "Allow",
    "BadPath",
    "BodyBroken",
    "BodyTooLarge",
    "Forwarded",
    "MethodRefused",
    "PathRefused",
    "Proxy",
    "ProxyError",
    "UpstreamBroken",
    "UpstreamUnavailable",
    "abort",
]
