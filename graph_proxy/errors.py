"""What can go wrong between a browser and an upstream.

No HTTP status here: the caller decides what, if anything, the browser is told.
"""

from __future__ import annotations


class ProxyError(Exception):
    """A request that could not be forwarded, or an answer that could not be."""


class BadPath(ProxyError):
    """The request target is malformed or could be read in two ways."""


class PathRefused(ProxyError):
    """The path is none of those the proxy forwards."""


class MethodRefused(ProxyError):
    """The path is forwarded, but not with this method.

    `allowed` names the methods that are, sorted, fit for an `Allow` header.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__("the method is not allowed here")
        self.allowed = allowed


class BodyTooLarge(ProxyError):
    """The request body exceeds the limit; the upstream never got all of it.

    `limit` is in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body exceeds {limit} bytes")
        self.limit = limit


class BodyBroken(ProxyError):
    """The browser's own request body ended early or was malformed."""


class UpstreamUnavailable(ProxyError):
    """No upstream could be reached: not one byte of the request was sent.

    It is safe to answer 502 or 503, and safe for the client to try again.
    """


class UpstreamBroken(ProxyError):
    """The request was sent, and then the upstream died, fell silent or spoke nonsense.

    What has effects may have had them, and nobody must be led to send it again:
    LangGraph's SDKs do on any 5xx, Chromium by itself on a connection that breaks
    without an answer. Answer 409. What only reads may be broken with `abort`.
    """
