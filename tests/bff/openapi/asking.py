"""Ask a real gateway what its OpenAPI document says may be asked (schemathesis)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy
    from schemathesis import APIOperation, Case

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# After these nobody is signed in, or somebody is in another tenant.
ENDING = frozenset(
    {
        "POST /auth/logout",
        "POST /auth/tenant",
        "POST /invites/redeem",
        "DELETE /auth/sessions/{session_id}",
        "PATCH /tenants/{tenant_id}/members/{user}",
        "DELETE /tenants/{tenant_id}/members/{user}",
        "DELETE /tenants/{tenant_id}/members/{user}/sessions",
    }
)
# Whoever asks may end up without their role, then without the tenant; and whoever
# guesses passwords, even wrong ones of nobody, must wait.
LAST = (
    "DELETE /tenants/{tenant_id}/members/{user}/sessions",
    "PATCH /tenants/{tenant_id}/members/{user}",
    "DELETE /tenants/{tenant_id}/members/{user}",
    "POST /auth/login",
)
# Without an end, or not ours.
LEFT_OUT = frozenset({"/onboarding/events", "/graph/{path}"})
SECONDS = 20.0


@dataclass
class Asker:
    """Sends what was thought of, signed in as an admin of the tenant."""

    url: str
    admin_url: str
    document: dict[str, Any]
    # Values that mean something here, by the parameter's name.
    known: dict[str, list[str]]
    answers: dict[str, set[int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    session: requests.Session = field(default_factory=requests.Session)

    def operations(self) -> Iterator[APIOperation[Any, Any, Any]]:
        """Yield what is to be asked."""
        config = SchemathesisConfig()
        config.projects.default.generation = GenerationConfig(
            with_security_parameters=False
        )
        load_all_checks()
        schema = schemathesis.openapi.from_dict(self.document, config=config)
        found = []
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), "the document cannot be read"
            found.append(result.ok())
        order = {label: place for place, label in enumerate(LAST)}
        for operation in sorted(found, key=lambda one: order.get(one.label, -1)):
            if operation.path not in LEFT_OUT:
                yield operation

    def ask(self, operation: APIOperation[Any, Any, Any], examples: int) -> None:
        """Ask so often, half of it what fits the document, half what does not."""
        modes = schemathesis.GenerationMode
        fits = operation.as_strategy(generation_mode=modes.POSITIVE)
        cases: SearchStrategy[Case] = fits
        if operation.path_parameters or operation.query or operation.body:
            cases = fits | operation.as_strategy(generation_mode=modes.NEGATIVE)
        # Twice of three times something that is there.
        there = st.fixed_dictionaries(
            {name: st.sampled_from(values) for name, values in self.known.items()}
        )
        known = st.one_of(there, there, st.none())
        bounded = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )

        @bounded
        @given(case=cases, known=known)
        def asked(case: Case, known: dict[str, str] | None) -> None:
            for name, value in (known or {}).items():
                if name in (case.path_parameters or {}):
                    case.path_parameters[name] = value
            self._send(case)

        self.sign_in()
        asked()

    def sign_in(self) -> None:
        """Sign in anew."""
        self.session.cookies.clear()
        body = {"email": "alice@acme.test", "password": PASSWORD}
        answer = self.session.post(
            f"{self.url}/auth/login",
            json=body,
            headers={"Origin": self.url},
            timeout=SECONDS,
        )
        assert answer.status_code == 200, answer.text

    def _send(self, case: Case) -> None:
        operation = case.operation
        if operation.label in ENDING:
            self.sign_in()
        ours = {"Sec-Fetch-Site": "same-origin", "Origin": self.url}
        for name in ("Cookie", "Host", "Content-Length", "Transfer-Encoding"):
            case.headers.pop(name, None)
        answer = case.call(
            base_url=self._base(operation.path),
            session=self.session,
            headers=ours,
            allow_redirects=False,
            timeout=SECONDS,
        )
        self.answers.setdefault(operation.label, set()).add(answer.status_code)
        try:
            case.validate_response(answer, checks=list(CHECKS))
        except FailureGroup as error:
            told = "\n".join(str(one)[:400] for one in error.exceptions)
            self.problems.append(
                f"{operation.label}: {answer.status_code} {told}\n{answer.text[:300]}"
            )

    def _base(self, path: str) -> str:
        item = self.document["paths"][path]
        return self.admin_url if "servers" in item else self.url
