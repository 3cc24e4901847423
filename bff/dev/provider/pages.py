"""The few pages a person sees: self-contained, without script; no I/O here."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE = """
:root { color-scheme: light dark; --line: #8a94a6; --accent: #2451b3 }
@media (prefers-color-scheme: dark) { :root { --accent: #8fb0ff } }
* { box-sizing: border-box }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; padding: 1.25rem }
main { max-width: 24rem; margin: 8vh auto 0 }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 1.25rem }
label { display: block; margin: 0 0 1rem; font-weight: 600 }
label small { font-weight: 400 }
input { display: block; width: 100%; margin-top: .25rem; padding: .65rem .75rem;
  font: inherit; font-weight: 400; border: 1px solid var(--line); border-radius: .5rem }
button { width: 100%; padding: .75rem; font: inherit; font-weight: 600; border: 0;
  border-radius: .5rem; background: #2451b3; color: #fff; cursor: pointer }
a { color: var(--accent) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
[role=alert] { padding: .65rem .75rem; border-left: 4px solid #c62828;
  background: #c6282822; border-radius: .25rem }
footer { margin-top: 2rem; font-size: .875rem; opacity: .8 }
"""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a form."""

    name: str
    label: str
    type: str = "text"
    value: str = ""
    autocomplete: str = "off"
    hint: str = ""
    is_required: bool = True

    def to_html(self, *, has_focus: bool) -> str:
        """Draw the field with its label."""
        flags = " required" if self.is_required else ""
        flags += " autofocus" if has_focus else ""
        flags += ' inputmode="numeric"' if self.autocomplete == "one-time-code" else ""
        hint = f" <small>{_safe(self.hint)}</small>" if self.hint else ""
        return (
            f"<label>{_safe(self.label)}{hint}"
            f'<input id="{_safe(self.name)}" name="{_safe(self.name)}"'
            f' type="{_safe(self.type)}" value="{_safe(self.value)}"'
            f' autocomplete="{_safe(self.autocomplete)}"{flags}></label>'
        )


def message_page(title: str, message: str) -> str:
    """Draw a page that only says something."""
    return _document(title, f"<p>{_safe(message)}</p>")


def form_page(
    title: str,
    *,
    action: str,
    fields: Sequence[Field],
    button: str,
    form_id: str,
    error: str = "",
    text: str = "",
    link: tuple[str, str] | None = None,
) -> str:
    """Draw a page with one form; the first empty field has the focus."""
    empty = next((one for one in fields if not one.value), None)
    inputs = "".join(one.to_html(has_focus=one is empty) for one in fields)
    alert = f'<p role="alert">{_safe(error)}</p>' if error else ""
    intro = f"<p>{_safe(text)}</p>" if text else ""
    other = f'<p><a href="{_safe(link[0])}">{_safe(link[1])}</a></p>' if link else ""
    return _document(
        title,
        f'{alert}{intro}<form id="{form_id}" method="post" action="{_safe(action)}">'
        f'{inputs}<button type="submit">{_safe(button)}</button></form>{other}',
    )


def login_page(
    action: str, *, email: str, register: str | None, error: str = ""
) -> str:
    """Draw the sign-in form."""
    code_hint = "only if you have set up an authenticator app"
    fields = (
        Field(name="username", label="Email", value=email, autocomplete="username"),
        Field(
            name="password",
            label="Password",
            type="password",
            autocomplete="current-password",
        ),
        Field(
            name="otp",
            label="One-time code",
            autocomplete="one-time-code",
            hint=code_hint,
            is_required=False,
        ),
    )
    return form_page(
        "Sign in to your account",
        action=action,
        fields=fields,
        button="Sign In",
        form_id="kc-form-login",
        error=error,
        link=(register, "New user? Register") if register else None,
    )


def register_page(
    action: str, *, first: str, last: str, email: str, login: str, error: str = ""
) -> str:
    """Draw the form that opens an account."""
    fields = (
        Field(
            name="firstName",
            label="First name",
            value=first,
            autocomplete="given-name",
        ),
        Field(
            name="lastName", label="Last name", value=last, autocomplete="family-name"
        ),
        Field(
            name="email", label="Email", type="email", value=email, autocomplete="email"
        ),
        _new_password("password", "Password"),
        _new_password("password-confirm", "Confirm password"),
    )
    return form_page(
        "Register",
        action=action,
        fields=fields,
        button="Register",
        form_id="kc-register-form",
        error=error,
        link=(login, "Back to Login"),
    )


def update_password_page(action: str, *, error: str = "") -> str:
    """Draw the form that replaces a password."""
    return form_page(
        "Update password",
        action=action,
        fields=(
            _new_password("password-new", "New Password"),
            _new_password("password-confirm", "Confirm password"),
        ),
        button="Submit",
        form_id="kc-passwd-update-form",
        error=error,
        text="You need to change your password to activate your account.",
    )


def _new_password(name: str, label: str) -> Field:
    return Field(name=name, label=label, type="password", autocomplete="new-password")


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{_safe(title)}</h1>{body}"
        "<footer>Development sign-in: this page exists on this machine only."
        "</footer></main></body></html>"
    )


def _safe(text: str) -> str:
    return html.escape(text, quote=True)
