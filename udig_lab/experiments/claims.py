"""Claims that were registered before rows were recorded, by their fingerprints."""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("claims.toml")


@cache
def registered_claims() -> dict[str, str]:
    """SHA-256 of every registered claim, by its name; empty as long as none is registered.

    Cards carry those that stood when the rows were made. Keys do not: a claim that is added later touches no row.
    """
    if not _FILE.is_file():
        return {}
    claims = tomllib.loads(_FILE.read_text(encoding="utf8"))
    return {
        name: hashlib.sha256(json.dumps(claim, sort_keys=True, default=str).encode()).hexdigest()
        for name, claim in sorted(claims.items())
    }
