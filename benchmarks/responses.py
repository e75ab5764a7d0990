"""Cached responses: what a hit costs inside the process."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.http import HttpResponse
from django.test import RequestFactory

from benchmarks.conditions import Conditions
from benchmarks.contestants import OURS, PEER, NotAHit, Peer, Runs
from benchmarks.endpoints import PAGE, ROWS, UNCACHED, plain_views, rest_views
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, race

TWICE_AS_FAST = Target("at least", 2)


def responses(conditions: Conditions, kind: str, title: str) -> Section:
    """A function view of Django that answers with 50 serialized rows as JSON."""
    views = plain_views(alias(kind, "ours"), alias(kind, "raw"))
    result = race(_contestants(views), conditions.rounds, conditions.batch_ns)
    figures = [
        Figure(f"{PAGE} to {OURS}", result.ratio(PAGE, OURS), "x", TWICE_AS_FAST),
        Figure(f"{OURS} to {UNCACHED}", result.ratio(OURS, UNCACHED), "x"),
    ]
    return Section(title, figures, [Time(name, result.spread(name)) for name in result.times])


def rest_responses(conditions: Conditions, kind: str, title: str) -> Section:
    """The same answer of a view of REST framework, whose checks and negotiation always run."""
    Peer().use(alias(kind, "peer"))
    views = rest_views(alias(kind, "ours"), alias(kind, "raw"))
    result = race(_contestants(views), conditions.rounds, conditions.batch_ns)
    figures = [
        Figure(f"{PEER} to {OURS}", result.ratio(PEER, OURS), "x"),
        Figure(f"{PAGE} to {OURS}", result.ratio(PAGE, OURS), "x"),
        Figure(f"{OURS} to {UNCACHED}", result.ratio(OURS, UNCACHED), "x"),
    ]
    section = Section(title, figures, [Time(name, result.spread(name)) for name in result.times])
    section.notes.append("checks, negotiation and `finalize_response` are part of every time.")
    return section


def _contestants(views: dict[str, tuple[Callable[..., HttpResponse], Runs]]) -> list[Contestant]:
    request = RequestFactory().get("/cities/?page=1&size=20")

    def contestant(name: str, view: Callable[..., HttpResponse], runs: Runs) -> Contestant:
        _content(view(request))

        def verify() -> None:
            before = runs.count
            content = _content(view(request))
            if json.loads(content) != {"rows": ROWS}:
                raise NotAHit(f"{name} answers {content!r}")
            if name != UNCACHED and runs.count != before:
                raise NotAHit(f"{name} ran the view")

        return Contestant(name, "view(request)", {"view": view, "request": request}, verify)

    return [contestant(name, *made) for name, made in views.items()]


def _content(response: HttpResponse) -> bytes:
    """What a server would send; rendering is when `cache_page` stores what is not rendered yet."""
    rendered: HttpResponse = response.render() if hasattr(response, "render") else response
    return rendered.content
