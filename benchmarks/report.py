"""What a run found: figures with their targets, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from benchmarks.timing import Spread

INTRODUCTION = """\
{mode} run of `make bench`. Contestants of a row take turns in one run; a ratio is the median of the ratios
of single rounds. The spread is p10 to p90; of executions and bytes, the least and the most of any trial."""

PACKAGES = (
    "django-cache-result",
    "Django",
    "drf-restflow",
    "django-cacheops",
    "cashews",
    "dogpile.cache",
    "django-redis",
    "redis",
    "hiredis",
)


@dataclass(frozen=True)
class Target:
    """What a figure has to be."""

    relation: Literal["at most", "at least", "exactly"]
    limit: float

    def is_met(self, figure: Spread) -> bool:
        """Judge the median; for `exactly`, every single sample."""
        if self.relation == "at most":
            return figure.median <= self.limit
        if self.relation == "at least":
            return figure.median >= self.limit
        return figure.low == figure.high == self.limit

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the verdict table: a ratio ("x"), a number of executions ("runs") or of bytes ("B"), or a
    difference of times ("us")."""

    what: str
    value: Spread
    unit: Literal["x", "runs", "B", "us"]
    target: Target | None = None

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "met" if self.target.is_met(self.value) else "**missed**"


@dataclass(frozen=True)
class Time:
    """How long one contestant takes, in nanoseconds per operation."""

    who: str
    ns: Spread


@dataclass
class Section:
    """A row: its title, its figures, the times behind them, and what a reader has to know."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    times: list[Time] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def machine_facts(redis_version: str | None) -> dict[str, str]:
    """What the figures depend on: cores, load, and versions."""
    facts = {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "load average at start": f"{os.getloadavg()[0]:.1f}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Redis server": redis_version or "not used",
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def as_markdown(sections: Sequence[Section], facts: Mapping[str, str], mode: str) -> str:
    """The whole report: verdicts first, then the times, then the machine."""
    lines = ["# Benchmarks", "", INTRODUCTION.format(mode=mode)]
    lines += ["", "| row | figure | median | spread | target | verdict |", "|---|---|--:|--:|---|---|"]
    for section in sections:
        for figure in section.figures:
            row = (section.title, figure.what, *_shown(figure), figure.target or "", figure.verdict)
            lines.append(_row(row))
    lines += ["", "## Times", "", "| row | contestant | median | spread |", "|---|---|--:|--:|"]
    for section in sections:
        for time in section.times:
            spread = f"{_duration(time.ns.low)} to {_duration(time.ns.high)}"
            lines.append(_row((section.title, time.who, _duration(time.ns.median), spread)))
    notes = [f"- {section.title}: {note}" for section in sections for note in section.notes]
    if notes:
        lines += ["", "## Notes", "", *notes]
    lines += ["", "## Machine", "", ", ".join(f"{name} {value}" for name, value in facts.items()) + ".", ""]
    return "\n".join(lines)


def as_json(sections: Sequence[Section], facts: Mapping[str, str], mode: str) -> str:
    """The same for programs: times in nanoseconds."""

    def section(item: Section) -> dict[str, Any]:
        verdicts = [
            {**dataclasses.asdict(figure), "met": figure.target and figure.target.is_met(figure.value)}
            for figure in item.figures
        ]
        times = [dataclasses.asdict(time) for time in item.times]
        return {"title": item.title, "figures": verdicts, "times": times, "notes": item.notes}

    rows = [section(item) for item in sections]
    return json.dumps({"mode": mode, "machine": dict(facts), "rows": rows}, indent=2)


def _shown(figure: Figure) -> tuple[str, str]:
    """Median and spread as text; numbers of executions are whole."""
    spread = figure.value
    if figure.unit == "runs":
        return f"{spread.median:g}", f"{spread.low:g} to {spread.high:g}"
    if figure.unit == "B":
        return f"{spread.median:,.0f} B", f"{spread.low:,.0f} to {spread.high:,.0f}"
    if figure.unit == "us":
        return f"{spread.median:.3g} us", f"{spread.low:.3g} to {spread.high:.3g}"
    return f"{_ratio(spread.median)} x", f"{_ratio(spread.low)} to {_ratio(spread.high)}"


def _ratio(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 2 else 3
    return f"{value:,.{digits}f}"


def _duration(ns: float) -> str:
    """Three digits or so, in the unit that fits. Differences may be negative."""
    if ns < 0:
        return f"-{_duration(-ns)}"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            scaled = ns / size
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"
    return f"{ns:.0f} ns"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
