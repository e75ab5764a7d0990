"""Functions and rules for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as they have to be."""
    every = [heads, *rows]
    widths = [max(len(row[at]) for row in every) for at in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]


def function_row(facts: Mapping[str, Any]) -> list[str]:
    """A line of ``list``."""
    scopes = " or ".join(_named(scope) for scope in facts["scopes"])
    return [facts["function"], _ttl(facts["ttl"]), facts["cache"], str(facts["rules"]), scopes or "-"]


def function_text(facts: Mapping[str, Any], entry: str | None) -> list[str]:
    """What ``info`` says."""
    off = 'no: CACHE_RESULT["ENABLED"] is False, every call is a BYPASS'
    lines = {
        "function": facts["function"] + (" (async)" if facts["async"] else ""),
        "id": "" if facts["id"] == facts["function"] else facts["id"],
        "ttl": _ttl(facts["ttl"]),
        "cache": f"{facts['cache']} ({facts['backend'] or 'which CACHES does not have'})",
        "enabled": "" if facts["enabled"] else off,
        "single flight": facts["single_flight"] or "none",
        "key": facts["key_constructor"],
        "namespace": facts["namespace"],
        "version": str(facts["version"]),
        "entry": entry,
    }
    fields = [
        f"{name}: {field}{' (partition)' if name in facts['partition'] else ''}"
        for name, field in facts["fields"].items()
    ]
    counts = {name: count for name, count in facts["counts"].items() if count}
    return [
        *(f"{label:<13} {value}" for label, value in lines.items() if value),
        *_section("fields", fields),
        *_section("partitions", [_named(scope) for scope in facts["scopes"]] or ["none"]),
        "rules",
        *([line for rule in facts["rules"] for line in rule_lines(rule, rule["model"])] or ["  none"]),
        *(
            _section("counts of this process", [f"{n}: {_number(c)}" for n, c in counts.items()])
            if counts
            else []
        ),
    ]


def rule_lines(facts: Mapping[str, Any], title: str) -> list[str]:
    """A rule, under its function or its model."""
    mapped = ", ".join(f"{name} = {path}" for name, path in facts["field_mapping"].items())
    whole = "tags" if "tags" in facts["options"] else "all entries"
    target = f"by {facts['invalidator']}" if facts["invalidator"] else mapped or whole
    options = [f"{name}={value!r}" for name, value in facts["options"].items()]
    return [
        f"  {title}: {target}",
        *([f"    {', '.join(options)}"] if options else []),
        f"    dispatcher {facts['dispatcher']}, name {facts['name']}",
    ]


def entry_text(metadata: Mapping[str, Any] | None, reason: str | None) -> str:
    """Whether a call's entry is there; ``reason`` says why it could be there unseen."""
    if metadata is None:
        return f"none here; {reason}" if reason else "none"
    until = metadata["cache_reset_at"]
    return f"cached at {metadata['cached_at']}, " + (f"until {until}" if until else "without an end")


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)]


def _named(scope: Sequence[str]) -> str:
    return f"({', '.join(scope)})"


def _ttl(ttl: float | str | None) -> str:
    if ttl is None:
        return "no end"
    return ttl if isinstance(ttl, str) else f"{ttl:g} s" if ttl else "not stored"


def _number(count: float) -> str:
    return f"{count:.3f} s" if isinstance(count, float) else str(count)
