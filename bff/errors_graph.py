"""Failures of the way to the graph server."""

from __future__ import annotations

from bff.errors import GatewayError


class GraphUnavailable(GatewayError):
    """Tell that the graph server cannot be reached; nothing was sent to it."""

    status = 502
    code = "graph_unavailable"
    detail = "The agent's server cannot be reached right now. Try again in a moment."


class AnswerLost(GatewayError):
    """Tell that a request may have been carried out, though no answer came of it.

    SDKs send a POST again after a 5xx, Chromium by itself after a connection that
    broke before an answer: either would start the run again, up to six times.
    """

    status = 409
    code = "answer_lost"
    detail = (
        "The agent's server broke off before it answered. It may have begun: look "
        "before you send this again."
    )


class TooManyStreams(GatewayError):
    """Limit how many streams one session or tenant holds open."""

    status = 429
    code = "too_many_streams"
    detail = "Too many answers are streaming at once. Close one and try again."
