"""What rules cost: saves, loaded instances, statements, and a transaction of many saves.

An overhead is the time of a library less that of plain Django in the same round. Libraries without
invalidation by models (cashews, dogpile.cache) have nothing to compare here.
"""

from __future__ import annotations

from benchmarks.conditions import Conditions
from benchmarks.libraries import NAMES, LibraryProcess, Remote, library_processes
from benchmarks.project import LOADED, SAVES, TARGETS
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Race, Spread, race
from benchmarks.wipes import fill

PLAIN, OURS, OPEN, PEER, CACHEOPS = NAMES.values()

NO_MORE = Target("at most", 1)

SAVE_JOBS = {
    "save": "save()",
    "create": "create()",
    "save_in_transaction": "a transaction of one save()",
}
LOAD_JOBS = {
    "load_articles": "an instance whose rule maps a field",
    "load_pages": "an instance whose rule maps the key",
    "load_notes": "an instance without rules",
}
SELECT_JOBS = {"select": "a SELECT by key", "select_unwatched": "a SELECT by key, unwatched"}
MEASURED = ("plain", "ours", "cacheops")
"""Who is there when reading; drf-restflow has no part in it."""

EXPLANATION = (
    "figures are ratios of overheads: what a library takes over plain Django. cache_result closes scopes "
    "before the change is visible and opens them after it, which is two requests; drf-restflow deletes one "
    "key after it (on django-redis it scans the keyspace), and until then readers get older data. "
    "django-cacheops reads the old row before each save() and invalidates both."
)

BATCH_NS = 10_000_000
"""Nanoseconds per batch: a save takes long."""


def saves(conditions: Conditions, kind: str, title: str) -> Section:
    """Saves of one row, by functions with one rule each. On django-redis the keyspace holds other keys, as
    a project's does."""
    section = Section(f"overhead of saves, {title}")
    with library_processes(kind, conditions.server) as processes:
        if kind == "django_redis":
            for process in processes:
                fill(conditions.server, process.database, conditions.keyspaces[0])
        for job, what in SAVE_JOBS.items():
            result = _race(conditions, processes, job)
            _add_overheads(section, result, what)
            trips = [f"{NAMES[p.owner]} {_trips(p, job)}" for p in processes]
            section.notes.append(f"requests to Redis of {what}: {', '.join(trips)}.")
    section.notes.append(EXPLANATION)
    return section


def many_saves(conditions: Conditions) -> Section:
    """One transaction of many saves, of few distinct targets."""
    section = Section(f"{SAVES:,} saves of {TARGETS} rows in one transaction, core RedisCache")
    with library_processes("redis", conditions.server) as processes:
        result = race([process.contestant("many_saves") for process in processes], conditions.peer_wipes, 1)
        for process in processes:
            sent, _ = process.ask("round_trips", "many_saves")
            name = NAMES[process.owner]
            target = Target("at most", 2) if name == OURS else None
            if name != PLAIN:
                figure = Spread(sent, sent, sent, 1)
                section.figures.append(Figure(f"{name}, requests to Redis", figure, "runs", target))
    _add_overheads(section, result, "overhead")
    return section


def loads(conditions: Conditions) -> Section:
    """Instances from a queryset, per instance: those of models with rules beside those of one without, in
    the same process. And a statement that reads, on a connection that is watched and on one that is not."""
    section = Section("overhead of reading")
    with library_processes("redis", conditions.server) as processes:
        measured = [process for process in processes if process.owner in MEASURED]
        entrants = [_entrant(process, job) for process in measured for job in (*LOAD_JOBS, *SELECT_JOBS)]
        result = race(entrants, max(10, conditions.rounds // 6), BATCH_NS // 2)
    for process in measured:
        name = NAMES[process.owner]
        notes, unwatched = f"{name}, {LOAD_JOBS['load_notes']}", f"{name}, {SELECT_JOBS['select_unwatched']}"
        for job in ("load_articles", "load_pages"):
            timed = f"{name}, {LOAD_JOBS[job]}"
            section.figures.append(Figure(f"{timed}, to one without", result.ratio(timed, notes), "x"))
            section.times.append(Time(f"{timed}, over one without", _each(result.over(timed, notes))))
        section.times.append(Time(notes, _each(result.spread(notes))))
        timed = f"{name}, {SELECT_JOBS['select']}"
        section.times.append(Time(timed, result.spread(timed)))
        if process.owner == "ours":
            section.figures.append(
                Figure(f"{timed}, to an unwatched connection", result.ratio(timed, unwatched), "x")
            )
            section.times.append(
                Time(f"{timed}, over an unwatched connection", result.over(timed, unwatched))
            )
    section.notes.append("the models have the same fields; drf-restflow and django-cacheops hook no loading.")
    return section


def _entrant(process: LibraryProcess, job: str) -> Remote:
    return process.contestant(job, f"{NAMES[process.owner]}, {(LOAD_JOBS | SELECT_JOBS)[job]}")


def _race(conditions: Conditions, processes: list[LibraryProcess], job: str) -> Race:
    rounds = max(10, conditions.rounds // 6)
    return race([process.contestant(job) for process in processes], rounds, BATCH_NS)


def _add_overheads(section: Section, result: Race, what: str) -> None:
    for peer in (PEER, CACHEOPS):
        ratio = result.ratio_over(OURS, to=peer, base=PLAIN)
        section.figures.append(Figure(f"{what}, {OURS} to {peer}", ratio, "x", NO_MORE))
        ratio = result.ratio_over(OPEN, to=peer, base=PLAIN)
        section.figures.append(Figure(f"{what}, {OPEN} to {peer}", ratio, "x"))
    section.times.append(Time(f"{PLAIN}, {what}", result.spread(PLAIN)))
    for name in (OURS, OPEN, PEER, CACHEOPS):
        section.times.append(Time(f"{name} over plain, {what}", result.over(name, PLAIN)))


def _trips(process: LibraryProcess, job: str) -> str:
    sent, commands = process.ask("round_trips", job)
    return f"{sent} of {commands} commands" if sent else "none"


def _each(all_of_them: Spread) -> Spread:
    """Per instance."""
    return all_of_them.scaled(1 / LOADED)
