"""Write docs/cli.md: every command of `bff` with its options, as `--help` has them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """\
# Commands

`bff COMMAND --help` says the same. Commands that read the configuration take
`--config`, the file to read instead of `config.toml`; see
[configuration](configuration.md).
"""


def commands(app: typer.Typer) -> Iterator[tuple[str, Any]]:
    """Yield each command of *app* with its whole name, in order."""
    yield from _below(typer.main.get_command(app), "bff")


def page(app: typer.Typer, note: str) -> str:
    """Return the page; *note* says that it is written by a program."""
    lines = [note, HEAD]
    for name, command in commands(app):
        lines += [f"## {name}", "", *_about(command), ""]
        rows = [_row(one) for one in command.params if one.name != "help"]
        if rows:
            lines += ["| Option | Default | Meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's own kinds of commands
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, found in sorted(inner.items()):
        yield from _below(found, f"{name} {word}")


def _about(command: Any) -> list[str]:  # noqa: ANN401 - as above
    return inspect.cleandoc(command.help or "").splitlines()


def _row(option: Any) -> str:  # noqa: ANN401 - as above
    is_option = option.param_type_name == "option"
    names = ", ".join((*option.opts, *option.secondary_opts))
    shown = f"`{names}`" if is_option else f"`{option.name.upper()}`"
    default = option.default
    if default in (None, "", (), []) or callable(default) or isinstance(default, bool):
        default = "required" if option.required else ""
    told = " ".join((getattr(option, "help", None) or "").split())
    value = f"`{default}`" if default not in ("", "required") else default
    return f"| {shown} | {value} | {told.replace('|', chr(92) + '|')} |"
