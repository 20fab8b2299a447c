"""What the comparisons with other packages share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

__all__ = ["ONE_THREAD", "ran", "table"]

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")}
"""Environment in which no library starts threads of its own."""


def ran(python: str, code: str, *args: object, **environment: str) -> dict[str, Any]:
    """Run code in an interpreter of its own, one thread; return what it prints last, as JSON."""
    command = [python, "-W", "ignore", "-c", code, *map(str, args)]
    env = {**os.environ, **ONE_THREAD, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        sys.exit(done.stderr or f"{python} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1].removeprefix("RESULT"))
    return found


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
