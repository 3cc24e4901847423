"""Which methods and paths are forwarded, after one normalisation. No I/O here.

The path that is decided on is the path that is sent: every difference between the two
was somebody's CVE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from graph_proxy.errors import BadPath, MethodRefused, PathRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

# Stands for the switch to WebSocket where methods are listed.
UPGRADE = "UPGRADE"
_NEVER = frozenset({"CONNECT", "TRACE"})
_COMMON = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
# pchar and "/" (RFC 3986, 3.3) stay as they are …
_PATH_SAFE = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]")
# … these browsers send as they are although they should not; all else is refused.
_PATH_SLOPPY = frozenset('"<>^`{|}')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Escaped twice: harmless here, but no longer after the second decoding somewhere.
_TWICE = re.compile(r"%25(?:25)*(?:2[efEF]|5[cC]|[01][0-9a-fA-F]|7[fF])")


def split_target(target: str) -> tuple[str, str]:
    """Split a request target into its path and its query, `?` included.

    Raises:
        BadPath: It is not in origin-form (RFC 9112, 3.2.1). Absolute-form names a
            host of its own, which nothing after the split would look at.
    """
    if not target.startswith("/") or "#" in target:
        raise BadPath("the request target is not a path")
    path, mark, query = target.partition("?")
    return path, mark + query


def normalise(path: str) -> str:
    """Decode unreserved characters, escape stray ones, resolve dot segments, once.

    The result is its own normal form.

    Raises:
        BadPath: It could mean different things to different readers: malformed or
            double escapes, invalid UTF-8, control characters, escaped slashes,
            backslashes, empty segments, dot segments with parameters.
    """
    if _PLAIN.fullmatch(path):
        return _resolve(path)  # nearly every path there is
    plain = _ESCAPE.sub(_decode, path)
    if _TWICE.search(plain):
        raise BadPath("the path is escaped twice")
    plain = "".join(map(_escape, plain))
    if _CONTROL.search(_decoded(plain)):
        raise BadPath("the path holds a control character")
    return _resolve(plain)


def _decode(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None:
        raise BadPath("the path holds a malformed escape")
    character = chr(int(digits, 16))
    if character in "/\\":
        raise BadPath("the path holds an escaped slash")
    return character if _UNRESERVED.fullmatch(character) else f"%{digits.upper()}"


def _escape(character: str) -> str:
    if _PATH_SAFE.fullmatch(character):
        return character
    if character in _PATH_SLOPPY:
        return f"%{ord(character):02X}"
    raise BadPath("the path holds a character that must be escaped")


def _decoded(plain: str) -> str:
    try:
        return unquote_to_bytes(plain).decode()
    except UnicodeDecodeError as error:
        raise BadPath("the path is not UTF-8") from error


def _resolve(plain: str) -> str:
    if not plain.startswith("/"):
        raise BadPath("the path does not start with a slash")
    segments = plain[1:].split("/")
    resolved: list[str] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment in {".", ".."}:
            if segment == "..":
                del resolved[-1:]
            if last:
                resolved.append("")
        elif segment.partition(";")[0] in {".", ".."}:
            raise BadPath("the path holds a dot segment with parameters")
        elif not segment and not last:
            raise BadPath("the path holds an empty segment")
        else:
            resolved.append(segment)
    return "/" + "/".join(resolved)


def below(prefix: str, path: str) -> str:
    """Return what follows the prefix in a normalised path, at least `/`.

    Raises:
        PathRefused: The path is not below the prefix.
    """
    if path != prefix and not path.startswith(f"{prefix}/"):
        raise PathRefused("the path is outside the prefix")
    return path.removeprefix(prefix) or "/"


@dataclass(frozen=True, slots=True)
class Route:
    """Methods and a path template, such as `/threads/{thread_id}/state`.

    The first segment is always a literal one.
    """

    methods: frozenset[str]
    segments: tuple[str, ...]

    @classmethod
    def of(cls, methods: str, template: str) -> Route:
        """Read blank-separated methods and a template; GET brings HEAD."""
        names = set(methods.split())
        if "GET" in names:
            names.add("HEAD")
        return cls(frozenset(names), tuple(template[1:].split("/")))

    def matches(self, segments: tuple[str, ...]) -> bool:
        """Say whether the segments fit, `{…}` standing for any but an empty one."""
        return len(segments) == len(self.segments) and all(
            want == have or (have and want.startswith("{"))
            for want, have in zip(self.segments, segments, strict=True)
        )


@dataclass(slots=True)
class _Bucket:
    """The routes of one length and first segment.

    Which of them fit depends on the segments that some route spells out, and for the
    others on whether they are empty: few shapes, each judged once.
    """

    routes: list[Route]
    literals: list[frozenset[str]] = field(default_factory=list)
    judged: dict[tuple[str, ...], frozenset[str]] = field(default_factory=dict)

    def methods(self, segments: tuple[str, ...]) -> frozenset[str]:
        if not self.literals:
            spelt = zip(*(route.segments for route in self.routes), strict=True)
            self.literals = [frozenset(place) for place in spelt]
        shape = tuple(
            [
                have if not have or have in spelt else "*"
                for have, spelt in zip(segments, self.literals, strict=True)
            ]
        )
        found = self.judged.get(shape)
        if found is None:
            fitting = [route for route in self.routes if route.matches(segments)]
            found = frozenset[str]().union(*(route.methods for route in fitting))
            self.judged[shape] = found
        return found


@dataclass(frozen=True, slots=True)
class Allow:
    """The methods and paths that may pass; several are joined with `|`."""

    routes: tuple[Route, ...] = ()
    first_segments: frozenset[str] = frozenset()
    is_open: bool = False
    _by_start: dict[tuple[int, str], _Bucket] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for route in self.routes:
            start = len(route.segments), route.segments[0]
            self._by_start.setdefault(start, _Bucket([])).routes.append(route)

    @classmethod
    def everything(cls) -> Allow:
        """Allow every path with every method but TRACE and CONNECT."""
        return cls(is_open=True)

    @classmethod
    def segments(cls, names: Iterable[str]) -> Allow:
        """Allow whatever starts with one of these first path segments.

        Raises:
            ValueError: A name is not one normalised path segment.
        """
        chosen = frozenset(names)
        for name in chosen:
            try:
                plain = normalise(f"/{name}") == f"/{name}" and "/" not in name
            except BadPath:
                plain = False
            if not plain or not name:
                raise ValueError(f"{name!r} is not one path segment")
        return cls(first_segments=chosen)

    @classmethod
    def table(cls, rows: Iterable[tuple[str, str]]) -> Allow:
        """Allow rows of (blank-separated methods, path template)."""
        return cls(tuple(Route.of(methods, template) for methods, template in rows))

    def __or__(self, other: Allow) -> Allow:
        return Allow(
            self.routes + other.routes,
            self.first_segments | other.first_segments,
            self.is_open or other.is_open,
        )

    def check(self, method: str, path: str) -> None:
        """Return if the method may be used on the normalised path.

        A trailing slash is passed on: the upstream answers it with a redirect.

        Raises:
            PathRefused: No method may.
            MethodRefused: Others may.
        """
        segments = tuple(path[1:].removesuffix("/").split("/"))
        if self.is_open or segments[0] in self.first_segments:
            if method in _NEVER:
                raise MethodRefused(tuple(sorted(_COMMON)))
            return
        bucket = self._by_start.get((len(segments), segments[0]))
        methods = bucket.methods(segments) if bucket is not None else frozenset()
        if not methods:
            raise PathRefused("the path is not one of those forwarded")
        if method not in methods:
            raise MethodRefused(tuple(sorted(methods - {UPGRADE})))
