"""Markdown from plain values."""

from __future__ import annotations

from typing import Any


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Return a Markdown table; an empty one becomes a sentence."""
    if not rows:
        return "*None.*\n"
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").strip()


def code(value: Any) -> str:
    """Return a value as inline code; several names as several."""
    if isinstance(value, tuple) and value and all(isinstance(v, str) for v in value):
        return ", ".join(f"`{v}`" for v in value)
    return f"`{value}`" if value not in ((), "") else ""


def eval_rst(directive: str, argument: str, *options: str) -> str:
    lines = "".join(f"   {option}\n" for option in options)
    return f"```{{eval-rst}}\n.. {directive}:: {argument}\n{lines}```\n"
