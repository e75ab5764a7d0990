"""The scenes of `manage.py demo`. Each shows one promise with real requests and checks it."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from django.conf import settings

from geo import services
from geo.demo.client import Client, Reply
from geo.demo.terminal import Terminal
from geo.demo.workers import Answer, running_worker

HITS = 20  # requests behind the median of a hit over HTTP
CALLS = 2000  # calls behind the median of a hit in the process
HERD = 30  # simultaneous requests

COUNTRIES = "/api/countries/"
BERLIN = "/api/cities/2950159/"
GERMANY = "/api/countries/DE/distances/"
JAPAN = "/api/countries/JP/distances/"
GERMAN_CITIES = ("/api/countries/DE/cities/", "/api/countries/DE/cities/?min_population=500000")
FRENCH_CITIES = ("/api/countries/FR/cities/", "/api/countries/FR/cities/?min_population=500000")
NEAREST = "/api/countries/DE/nearest/?latitude=50&longitude=10"
REYKJAVIK = 3413829
REYKJAVIK_ID = str(REYKJAVIK)
REYKJAVIK_PATH = f"/api/cities/{REYKJAVIK}/"
MANAGE = Path(settings.BASE_DIR) / "manage.py"


class DemoFailed(Exception):
    """An expectation did not hold."""


class Stage:
    """What a scene works with, and what later scenes need to know from earlier ones."""

    def __init__(self, client: Client, terminal: Terminal) -> None:
        self.client = client
        self.terminal = terminal
        self.passed = 0
        self.germany_before: Reply | None = None

    def expect(self, holds: bool, text: str) -> None:
        """Report an expectation that holds; `DemoFailed` ends the demo otherwise."""
        if not holds:
            raise DemoFailed(f"expected: {text}")
        self.passed += 1
        self.terminal.passed(text)

    def get(self, path: str, comment: str = "") -> Reply:
        """GET and show; anything but 200 ends the demo."""
        return self._shown(self.client.get(path), comment)

    def patch(self, path: str, data: dict[str, Any], comment: str = "") -> Reply:
        """PATCH and show; anything but 200 ends the demo."""
        return self._shown(self.client.patch(path, data), comment)

    def executions(self, function: str, country_code: str) -> int:
        """How often the server really ran `function` for a country."""
        counts = self.client.get("/api/executions/").json()
        runs: int = counts.get(function, {}).get(country_code, 0)
        return runs

    def _shown(self, reply: Reply, comment: str) -> Reply:
        self.terminal.reply(reply, comment)
        if reply.status != 200:
            raise DemoFailed(f"{reply.method} {reply.path} answered {reply.status}: {reply.body[:500]!r}")
        return reply


def miss_then_hit(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene("A slow answer, computed once")
    miss = stage.get(GERMANY, "measures every pair of cities")
    hits = [stage.client.get(GERMANY) for _ in range(HITS)]
    typical = median(hit.seconds for hit in hits)
    gain = f"median of {HITS}, {miss.seconds / typical:,.0f} times faster"
    terminal.timed(f"GET {GERMANY}", "HIT", typical, gain)
    hit = hits[-1]
    for header in ("X-Cached-at", "X-Cache-reset-at", "X-Cache-status"):
        terminal.fact(header, hit.headers.get(header))
    facts = hit.json()
    terminal.note(
        f"{facts['pairs']:,} pairs: two people of different cities live {facts['mean_between_people_km']} km "
        f"apart on average; the loneliest city is {facts['loneliest']['name']}."
    )
    stage.expect(miss.cache_status == "MISS", "the first request is a MISS")
    alike = all(h.cache_status == "HIT" and h.body == miss.body for h in hits)
    stage.expect(alike, f"the next {HITS} are HITs, byte for byte")
    life = _time(hit, "X-Cache-reset-at") - _time(hit, "X-Cached-at")
    stage.expect(
        abs(life - timedelta(seconds=services.DISTANCES_TTL)) <= timedelta(seconds=1),
        f"X-Cache-reset-at is {services.DISTANCES_TTL} s (the ttl) after X-Cached-at",
    )
    stage.expect(stage.executions("country_distances", "DE") == 1, "the function ran once")
    stage.germany_before = hit


def one_partition_goes(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene("A save invalidates one country, and only that one")
    for path in (*GERMAN_CITIES, *FRENCH_CITIES):
        stage.get(path)
    terminal.note("Berlin grows by 100,000: a request saves it.")
    population = stage.client.get(BERLIN).json()["population"] + 100_000
    stage.patch(BERLIN, {"population": population}, "with the rewarm of scene 3 inside")
    germany = [stage.get(path) for path in GERMAN_CITIES]
    france = [stage.get(path) for path in FRENCH_CITIES]
    stage.expect(all(r.cache_status == "MISS" for r in germany), "both German entries were invalidated: MISS")
    stage.expect(all(_berlin(r) == population for r in germany), "both show Berlin's new population")
    stage.expect(all(r.cache_status == "HIT" for r in france), "both French entries are still HITs")


def rewarmed(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene("Rewarm: the save made the slow answer anew")
    before = stage.germany_before
    assert before is not None
    after = stage.get(GERMANY, "the first request since the save")
    for name, reply in (("before the save", before), ("after the save", after)):
        kilometres, cached_at = reply.json()["mean_between_people_km"], reply.headers["X-Cached-at"]
        terminal.fact(name, f"{kilometres} km, cached at {cached_at}")
    stage.expect(after.cache_status == "HIT", "nobody waited: HIT")
    stage.expect(after.json() != before.json(), "with the new data")
    stage.expect(_time(after, "X-Cached-at") > _time(before, "X-Cached-at"), "cached later than before")
    runs = stage.executions("country_distances", "DE")
    stage.expect(runs == 2, "the function ran twice: asked once, rewarmed once")
    population = stage.client.get(BERLIN).json()["population"] - 100_000
    stage.patch(BERLIN, {"population": population}, "Berlin is put back")
    restored = stage.get(GERMANY)
    same = restored.cache_status == "HIT" and restored.body == before.body
    stage.expect(same, "a HIT with the old answer again")


def whole_responses(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene("A whole response is cached, and clients need not fetch again what they have")
    runs = stage.executions("city", REYKJAVIK_ID)
    miss = stage.get(REYKJAVIK_PATH, "runs view, serializer and renderer")
    hit = stage.get(REYKJAVIK_PATH, "runs none of them")
    for header in ("ETag", "Cache-Control", "Age"):
        terminal.fact(header, hit.headers.get(header))
    same = (miss.cache_status, hit.cache_status) == ("MISS", "HIT") and miss.body == hit.body
    stage.expect(same, "MISS, then HIT, byte for byte")
    known = {"If-None-Match": hit.headers["ETag"]}
    unchanged = stage.client.get(REYKJAVIK_PATH, known)
    terminal.reply(unchanged, "If-None-Match")
    stage.expect((unchanged.status, unchanged.body) == (304, b""), "who has it gets 304 and no body")
    stage.patch(REYKJAVIK_PATH, {"population": hit.json()["population"] + 1}, "saves it")
    changed = stage.client.get(REYKJAVIK_PATH, known)
    terminal.reply(changed, "If-None-Match, of what it was")
    stage.expect((changed.status, changed.cache_status) == (200, "MISS"), "after a save it is made anew")
    stage.patch(REYKJAVIK_PATH, {"population": hit.json()["population"]}, "and is put back")
    runs = stage.executions("city", REYKJAVIK_ID) - runs
    stage.expect(runs == 2, "the view ran twice for four requests")


def nobody_waits(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene("Nobody waits: the old list at once, while one run in the background makes the new one")
    stage.get(COUNTRIES)
    before = _settled(stage)
    runs = stage.executions("countries", "all")
    population = stage.client.get(REYKJAVIK_PATH).json()["population"]
    stage.patch(REYKJAVIK_PATH, {"population": population + 1000}, "saves it; the rule is soft")
    replies = stage.client.herd(COUNTRIES, HERD)
    statuses = Counter(reply.cache_status for reply in replies)
    terminal.fact("requests", f"{HERD} x GET {COUNTRIES} at once")
    terminal.fact("statuses", ", ".join(f"{count} x {status}" for status, count in statuses.most_common()))
    stale = [reply for reply in replies if reply.cache_status == "STALE"]
    stage.expect(
        bool(stale) and statuses["MISS"] == 0, "the first got the old list, STALE, and nobody waited"
    )
    stage.expect(all(reply.body == before.body for reply in stale), "as it was before the save")
    after = _settled(stage)
    terminal.reply(after)
    people = [_people(reply, "IS") for reply in (before, after)]
    stage.expect(people[1] == people[0] + 1000, "a moment later: HIT, with the new number")
    stage.expect(
        stage.executions("countries", "all") == runs + 1, f"the function ran once for {HERD} requests"
    )
    stage.patch(REYKJAVIK_PATH, {"population": population}, "and is put back")


def herd(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene(f"A herd: {HERD} threads ask at once for what nobody has asked before")
    before = stage.executions("country_distances", "JP")
    replies = stage.client.herd(JAPAN, HERD)
    runs = stage.executions("country_distances", "JP") - before
    statuses = Counter(reply.cache_status for reply in replies)
    seconds = [reply.seconds for reply in replies]
    terminal.fact("requests", f"{HERD} x GET {JAPAN}")
    terminal.fact("fastest, slowest", f"{min(seconds) * 1e3:,.0f} ms, {max(seconds) * 1e3:,.0f} ms")
    terminal.fact("statuses", ", ".join(f"{count} x {status}" for status, count in statuses.most_common()))
    terminal.fact("executions", f"{runs} (those that waited for it say MISS as well: nothing was cached)")
    stage.expect(all(reply.status == 200 for reply in replies), "every request is answered with 200")
    stage.expect(len({reply.body for reply in replies}) == 1, "all with the same answer")
    stage.expect(before == 0 and runs == 1, f"the function ran once for {HERD} requests")


def async_view(stage: Stage) -> None:
    stage.terminal.scene("An async view awaits an async cached function")
    miss = stage.get(NEAREST)
    hit = stage.get(NEAREST)
    found = ", ".join(f"{city['name']} ({city['km']} km)" for city in hit.json()["cities"])
    stage.terminal.note(f"Nearest: {found}")
    stage.expect((miss.cache_status, hit.cache_status) == ("MISS", "HIT"), "MISS, then HIT")
    stage.expect(miss.body == hit.body, "with the same answer")


def in_process(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene("Without HTTP: get_with_metadata in this process")
    terminal.note("The entries of a MemoryCache are its process's own, so here they are cold.")
    cached = services.country_distances

    def ask(comment: str = "") -> dict[str, Any]:
        started = perf_counter()
        _, metadata = cached.get_with_metadata("FR")
        seconds = perf_counter() - started
        status = metadata["cache_status"].value
        terminal.timed('country_distances.get_with_metadata("FR")', status, seconds, comment)
        return metadata

    miss, hit = ask(), ask()
    for name, value in hit.items():
        terminal.fact(name, getattr(value, "value", value))
    terminal.fact("get_cache_key", cached.get_cache_key("FR"))
    durations = []
    for _ in range(CALLS):
        started = perf_counter()
        cached("FR")
        durations.append(perf_counter() - started)
    terminal.timed('country_distances("FR")', "HIT", median(durations), f"median of {CALLS:,} calls")
    cached.delete_by_prefix("FR")
    wiped = ask('after delete_by_prefix("FR")')
    statuses = [metadata["cache_status"] for metadata in (miss, hit, wiped)]
    stage.expect(statuses == ["MISS", "HIT", "MISS"], "MISS, HIT, and MISS again after the wipe")


def two_workers(stage: Stage) -> None:
    terminal = stage.terminal
    terminal.scene("Two worker processes agree after a save, with no server and no message")
    with running_worker(MANAGE) as a, running_worker(MANAGE) as b:
        terminal.note(
            f"Processes {a.pid} (A) and {b.pid} (B) each keep entries of their own. With HOST_INDEX they "
            "share a memory-mapped table, in which every hit looks whether its generations are current."
        )

        def ask(name: str, country: str, comment: str = "") -> Answer:
            answer = {"A": a, "B": b}[name].country_cities(country)
            call = f'{name}: country_cities("{country}")'
            terminal.timed(call, answer.cache_status, answer.seconds, comment)
            return answer

        def save(people: int) -> None:
            seconds = a.save_population(REYKJAVIK, people)
            terminal.timed(f"A: Reykjavik is saved with {people:,} people", "SAVE", seconds)

        asked = [ask(name, country) for name in "AB" for country in ("IS", "FR") for _ in range(2)]
        statuses = [answer.cache_status for answer in asked]
        stage.expect(statuses == ["MISS", "HIT"] * 4, "each process computes its own answers, once")
        before = _population(asked[0], REYKJAVIK)
        save(before + 1000)
        after = ask("B", "IS", "its first call since the save")
        france = ask("B", "FR", "of a country that nobody changed")
        seen = (after.cache_status, _population(after, REYKJAVIK))
        stage.expect(seen == ("MISS", before + 1000), "B's next call sees what A has saved")
        stage.expect(france.cache_status == "HIT", "and B's other entries are still HITs")
        save(before)
        restored = ask("B", "IS", "its first call since Reykjavik was put back")
        stage.expect(restored.value == asked[0].value, "and B sees that, too")


SCENES: tuple[Callable[[Stage], None], ...] = (
    miss_then_hit,
    one_partition_goes,
    rewarmed,
    whole_responses,
    nobody_waits,
    herd,
    async_view,
    in_process,
    two_workers,
)


def _time(reply: Reply, header: str) -> datetime:
    """A header's ISO 8601 time; `DemoFailed` if it is missing."""
    value = reply.headers.get(header)
    if value is None:
        raise DemoFailed(f"{reply.method} {reply.path} has no {header} header")
    return datetime.fromisoformat(value)


def _settled(stage: Stage) -> Reply:
    """The countries, once they are a HIT; `DemoFailed` if they do not become one."""
    for _ in range(500):
        reply = stage.client.get(COUNTRIES)
        if reply.cache_status == "HIT":
            return reply
        sleep(0.01)
    raise DemoFailed(f"{COUNTRIES} does not become a HIT: {reply.cache_status}")


def _people(reply: Reply, country_code: str) -> int:
    """How many people live in the cities of a country."""
    people: int = next(row["people"] for row in reply.json() if row["code"] == country_code)
    return people


def _berlin(reply: Reply) -> int | None:
    """Berlin's population in a list of cities."""
    return next((row["population"] for row in reply.json()["cities"] if row["name"] == "Berlin"), None)


def _population(answer: Answer, city_id: int) -> int:
    """A city's population in an answer of `country_cities`."""
    people: int = next(city["population"] for city in answer.value["cities"] if city["id"] == city_id)
    return people
