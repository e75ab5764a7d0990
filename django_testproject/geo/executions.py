"""How often each cached function really ran in this process: the demo's proof, not a metric."""

from collections import Counter
from threading import Lock

_counts: Counter[tuple[str, str]] = Counter()
_lock = Lock()


def record(function: str, country_code: str) -> None:
    """Count one run of `function` for `country_code`."""
    with _lock:
        _counts[function, country_code] += 1


def counts() -> dict[str, dict[str, int]]:
    """Runs since the process started: `{function: {country code: runs}}`."""
    with _lock:
        items = sorted(_counts.items())
    tree: dict[str, dict[str, int]] = {}
    for (function, country_code), runs in items:
        tree.setdefault(function, {})[country_code] = runs
    return tree
