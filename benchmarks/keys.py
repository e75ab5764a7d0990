"""Building keys: binding and canonical bytes alone, and the key text of several kinds of calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import restflow.caching as peer_module
from django.contrib.auth.models import User
from django.test import RequestFactory
from rest_framework.request import Request

import cache_result as ours_module
from benchmarks.conditions import Conditions
from benchmarks.contestants import OURS, PEER, NotAHit
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, race

LRU = "functools.lru_cache"
CANONICAL = f"{OURS}, binding and canonical bytes"

QUERY = "/cities/?min_population=100000&order=name&tag=capital&tag=port&page=2"
TWENTY = {f"option_{number}": number for number in range(20)}


def orders(customer_id: int, status: str) -> list[int]:
    """Never runs: only its keys are built."""
    raise NotImplementedError


def options(values: dict[str, int]) -> list[int]:
    """Never runs: only its keys are built."""
    raise NotImplementedError


def cities(request: Any) -> list[int]:
    """Never runs: only its keys are built."""
    raise NotImplementedError


@dataclass(frozen=True)
class Row:
    """One kind of call."""

    label: str
    function: Callable[..., Any]
    fields: Callable[[Any], dict[str, Any]]
    """Key fields, from the library's module."""
    statement: str
    names: dict[str, Any]
    different: str
    """A call that must have another key."""
    at_least: float | None = 50


def _rows() -> list[Row]:
    request, other = (Request(RequestFactory().get(path)) for path in (QUERY, QUERY + "1"))
    pair = {"call": "key(1, 'abc')", "different": "key(1, 'abd')"}
    return [
        Row(
            "two arguments", orders, lambda m: {"a": m.ArgsKeyField("*")}, pair["call"], {}, pair["different"]
        ),
        Row(
            "two keywords",
            orders,
            lambda m: {"a": m.ArgsKeyField("*")},
            "key(customer_id=1, status='abc')",
            {},
            "key(customer_id=1, status='abd')",
        ),
        Row(
            "a dict of 20 keys",
            options,
            lambda m: {"a": m.ArgsKeyField("*")},
            "key(twenty)",
            {"twenty": TWENTY},
            "key({**twenty, 'option_0': 1})",
            at_least=20,
        ),
        Row(
            "two arguments, one a partition",
            orders,
            lambda m: {
                "customer": m.ArgsKeyField("customer_id", partition=True),
                "status": m.ArgsKeyField("status"),
            },
            pair["call"],
            {},
            pair["different"],
        ),
        Row(
            "three query parameters of a request",
            cities,
            lambda m: {"q": m.QueryParamsKeyField(["min_population", "order", "page"])},
            "key(request)",
            {"request": request, "other": other},
            "key(other)",
        ),
        Row(
            "all query parameters of a request",
            cities,
            lambda m: {"q": m.QueryParamsKeyField("*")},
            "key(request)",
            {"request": request, "other": other},
            "key(other)",
            at_least=None,
        ),
        Row(
            "two arguments and the shape of a model",
            orders,
            lambda m: {"a": m.ArgsKeyField("*"), "shape": m.DjangoModelKeyField(User)},
            pair["call"],
            {},
            pair["different"],
        ),
    ]


def key_building(conditions: Conditions) -> Section:
    """`get_cache_key(...)` of both libraries; the first row beside a whole hit of `lru_cache`."""
    section = Section("building a key")
    for number, row in enumerate(_rows()):
        ours = _key_of(ours_module, row, number)
        contestants = [
            _contestant(OURS, row, ours.get_cache_key),
            _contestant(PEER, row, _key_of(peer_module, row, number).get_cache_key),
        ]
        if number == 0:
            contestants += [_contestant(CANONICAL, row, ours._canonical), _lru_hit(row)]
        result = race(contestants, conditions.rounds, conditions.batch_ns)
        limit = Target("at least", row.at_least) if row.at_least else None
        figures = [Figure(f"{row.label}: {PEER} to {OURS}", result.ratio(PEER, OURS), "x", limit)]
        if number == 0:
            figures += [
                Figure(f"{CANONICAL}, to {LRU}", result.ratio(CANONICAL, LRU), "x", Target("at most", 2)),
                Figure(f"{OURS}, key text, to {LRU}", result.ratio(OURS, LRU), "x", Target("at most", 4)),
            ]
        section.figures += figures
        section.times += [Time(f"{row.label}: {name}", result.spread(name)) for name in result.times]
    return section


def _key_of(module: Any, row: Row, number: int) -> Any:
    spec = {"fields": row.fields(module), "key_identifier": f"bench.key{number}"}
    return module.cache_result(spec)(row.function)


def _contestant(name: str, row: Row, key: Callable[..., Any]) -> Contestant:
    names = {**row.names, "key": key}

    def verify() -> None:
        one, again, other = (eval(call, names) for call in (row.statement, row.statement, row.different))
        if one != again or one == other:
            raise NotAHit(f"{name}, {row.label}: equal calls must have one key, others another: {one!r}")

    return Contestant(name, row.statement, names, verify)


def _lru_hit(row: Row) -> Contestant:
    hit = lru_cache(lambda customer_id, status: 0)
    hit(1, "abc")
    return Contestant(LRU, row.statement, {"key": hit})
