"""How a request is refused: as JSON, as a page or by a redirect; no I/O here."""

from __future__ import annotations


class Refusal(Exception):
    """A request was refused."""


class OAuthRefusal(Refusal):
    """An endpoint for programs answers `error` and `error_description`."""

    def __init__(
        self,
        error: str,
        description: str | None = None,
        *,
        status: int = 400,
        reason: str | None = None,
        sub: str | None = None,
    ) -> None:
        super().__init__(error)
        self.sub = sub
        self.status = status
        self.error = error
        self.description = description
        # What the event log says; the body stays silent about it.
        self.reason = reason or error

    @property
    def body(self) -> dict[str, str]:
        """Build the JSON body."""
        body = {"error": self.error}
        if self.description is not None:
            body["error_description"] = self.description
        return body


class PageRefusal(Refusal):
    """The browser gets a plain page, because no redirect can be trusted."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RedirectRefusal(Refusal):
    """The browser is sent back to the client with an error."""

    def __init__(
        self, redirect_uri: str, state: str | None, error: str, description: str = ""
    ) -> None:
        super().__init__(error)
        self.redirect_uri = redirect_uri
        self.parameters = {"error": error}
        if description:
            self.parameters["error_description"] = description
        if state is not None:
            self.parameters["state"] = state


class AdminRefusal(Refusal):
    """The Admin API answers one of its several error shapes."""

    def __init__(self, status: int, body: dict[str, str]) -> None:
        super().__init__(str(status))
        self.status = status
        self.body = body
