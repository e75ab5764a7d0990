"""What the second processes of these tests run; `parent` is the conversation with the test."""

import contextlib
import random

from django.db import transaction
from django.test import override_settings

from cache_result import CacheStatus, InvalidationRule, cache_result
from cache_result.invalidation.targets import Targets
from tests.app.models import Author
from tests.race.children import PARTITIONED, shared_state, stop_once

# --- one row, one change


def rule(**options):
    return InvalidationRule(Author, field_mapping={"author_id": "pk"}, **options)


def make_author_name(alias, name, inside=None, using="default"):
    """The same cached function in every process: it reads a row, and may stop after that."""

    @cache_result(name=name, cache=alias, invalidates_on=[rule()])
    def author_name(author_id):
        found = Author.objects.using(using).get(pk=author_id).name
        if inside is not None:
            inside()
        return found

    return author_name


def fill(parent, alias, name, pk, settings=None):
    """Call the function, stopping after it has read the row."""
    with override_settings(CACHE_RESULT=settings or {}):
        return make_author_name(alias, name, stop_once(parent))(pk)


def call(parent, alias, name, pk, settings=None):
    """Make the call when the parent says so."""
    author_name = make_author_name(alias, name)
    with override_settings(CACHE_RESULT=settings or {}):
        parent.say("ready")
        parent.expect("call")
        return author_name(pk)


def rename(parent, alias, name, pk, ending, using="default"):
    """Save an author in a transaction that ends when the parent says so; what this process saw meanwhile."""
    author_name = make_author_name(alias, name, using=using)
    with transaction.atomic(using):
        author = Author.objects.using(using).get(pk=pk)
        author.name = "new"
        author.save()
        seen = author_name(pk), author_name.refresh(pk)
        parent.say("written")
        parent.expect("go on")
        if ending == "rollback":
            transaction.set_rollback(True, using)
    return seen


def fill_while_dirty(parent, alias, name, pk):
    """Call the function between a write and its rollback, stopping inside the function."""
    author_name = make_author_name(alias, name, stop_once(parent))
    with transaction.atomic():
        Author.objects.filter(pk=pk).update(name="never")
        seen = author_name(pk)
        transaction.set_rollback(True)
    return seen


def fill_behind_a_lock(parent, alias, name, pk):
    """Call the function, which has to wait for a lock on its row."""

    @cache_result(name=name, cache=alias, invalidates_on=[rule()])
    def author_name(author_id):
        parent.say("inside")
        with transaction.atomic():
            return Author.objects.select_for_update().get(pk=author_id).name

    return author_name(pk)


# --- many changes, many readers

PAUSE = 6  # calls that a writer makes between its changes: else nothing would live long enough to be hit


def linger(state):
    """Makes a fill take a while, so that invalidations fall into it."""
    for _ in range(20):
        state.ping()


def make_version(alias, name, state):
    """A function of one number that only grows."""

    @cache_result(PARTITIONED, name=name, cache=alias)
    def version(a, b):
        found = int(state.get(f"{name}:{a}:{b}") or 0)
        linger(state)
        return found

    return version


ARGUMENTS = [(a, b) for a in range(2) for b in range(2)]
WIPES = {
    "delete_cache": lambda version, a, b: version.delete_cache(a, b),
    "delete_by_prefix": lambda version, a, b: version.delete_by_prefix(a),
    "invalidate_all": lambda version, a, b: version.invalidate_all(),
}
WIPED = {
    "delete_cache": lambda a, b: [(a, b)],
    "delete_by_prefix": lambda a, b: [(a, each) for each in range(2)],
    "invalidate_all": lambda a, b: ARGUMENTS,
}


def change_versions(parent, alias, name, writer, rounds):
    """Raise versions and invalidate them, one way or another; announce them when that has returned."""
    choice = random.Random(writer)
    with contextlib.closing(shared_state()) as state:
        version = make_version(alias, name, state)
        parent.say("ready")
        parent.expect("start")
        for _ in range(rounds):
            for _ in range(PAUSE):
                version(*choice.choice(ARGUMENTS))
            (a, b), wipe = choice.choice(ARGUMENTS), choice.choice(list(WIPES))
            keys = [f"{name}:{a}:{b}" for a, b in WIPED[wipe](a, b)]
            raised = {f"{key}:{writer}": state.incr(key) for key in keys}
            WIPES[wipe](version, a, b)
            state.mset(raised)
        state.decr(f"{name}:writing")


def read_versions(parent, alias, name, reader, writers):
    """Call while anybody writes; every value has to be as new as what was announced before the call."""
    choice, audit = random.Random(f"reader {reader}"), Audit()
    with contextlib.closing(shared_state()) as state:
        version = make_version(alias, name, state)
        parent.say("ready")
        parent.expect("start")
        while int(state.get(f"{name}:writing")) > 0:
            a, b = choice.choice(ARGUMENTS)
            announced = state.mget([f"{name}:{a}:{b}:{writer}" for writer in range(writers)])
            audit.note(announced, *version.get_with_metadata(a, b))
    return audit.results()


def make_rows(alias, name, state):
    """Two functions of the same rows: one with a rule, one that writers have to invalidate themselves."""
    ruled = make_author_name(alias, name, lambda: linger(state))

    @cache_result(name=f"{name}-unruled", cache=alias)
    def unruled(author_id):
        return ruled.__wrapped__(author_id)

    return ruled, unruled


def change_rows(parent, alias, name, writer, rounds, pks):
    """Raise the versions that authors have as names, in transactions; some are rolled back."""
    choice = random.Random(writer)
    with contextlib.closing(shared_state()) as state:
        ruled, unruled = functions = make_rows(alias, name, state)
        parent.say("ready")
        parent.expect("start")
        for _ in range(rounds):
            for _ in range(PAUSE):
                choice.choice(functions)(choice.choice(pks))
            pk, rolled_back = choice.choice(pks), choice.random() < 0.25
            with transaction.atomic():
                author = Author.objects.select_for_update().get(pk=pk)
                author.name = "-1" if rolled_back else str(int(author.name) + 1)
                author.save()
                assert [ruled(pk), unruled.refresh(pk)] == [author.name] * 2
                transaction.set_rollback(rolled_back)
            if not rolled_back:
                unruled.delete_cache(pk)
                state.set(f"{name}:{pk}:{writer}", author.name)
        state.decr(f"{name}:writing")


def read_rows(parent, alias, name, reader, writers, pks):
    """As `read_versions`; every other reader reads inside of transactions."""
    choice, audit = random.Random(f"reader {reader}"), Audit()
    with contextlib.closing(shared_state()) as state:
        functions = make_rows(alias, name, state)
        parent.say("ready")
        parent.expect("start")
        while int(state.get(f"{name}:writing")) > 0:
            pk = choice.choice(pks)
            with transaction.atomic() if reader % 2 else contextlib.nullcontext():
                announced = state.mget([f"{name}:{pk}:{writer}" for writer in range(writers)])
                value, metadata = choice.choice(functions).get_with_metadata(pk)
            audit.note(announced, int(value), metadata)
    return audit.results()


def change_own_rows(parent, alias, name, writer, rounds, pks):
    """As `change_rows`, but nobody else writes this writer's rows, and nobody is told."""
    choice = random.Random(writer)
    with contextlib.closing(shared_state()) as state:
        ruled, _ = make_rows(alias, name, state)
        parent.say("ready")
        parent.expect("start")
        for number in range(1, rounds + 1):
            author = Author.objects.get(pk=pks[writer])
            author.name = str(number)
            if choice.random() < 0.5:
                with transaction.atomic():
                    author.save()
            elif choice.random() < 0.5:
                author.save()
            else:
                Author.objects.filter(pk=author.pk).update(name=author.name)
            assert ruled(author.pk) == author.name
        state.decr(f"{name}:writing")


def read_rows_beside(parent, alias, name, reader, writers, pks):
    """Read the row, then the cache: what the database has shown is the least that a call may return."""
    choice, audit = random.Random(f"reader {reader}"), Audit()
    with contextlib.closing(shared_state()) as state:
        ruled, _ = make_rows(alias, name, state)
        parent.say("ready")
        parent.expect("start")
        while int(state.get(f"{name}:writing")) > 0:
            pk = choice.choice(pks)
            committed = Author.objects.values_list("name", flat=True).get(pk=pk)
            value, metadata = ruled.get_with_metadata(pk)
            audit.note([committed], int(value), metadata)
    return audit.results()


class Audit:
    """What one reader saw: how much, how often from the cache, and what was older than it may be."""

    def __init__(self):
        self._reads = self._hits = 0
        self._stale = []

    def note(self, announced, value, metadata):
        self._reads += 1
        self._hits += metadata["cache_status"] == CacheStatus.HIT
        floor = max((int(version) for version in announced if version is not None), default=0)
        if value < floor:
            self._stale.append(f"{value} after {floor} was announced: {metadata}")

    def results(self):
        return self._reads, self._hits, self._stale


# --- writers that are killed

STEPS = ["before the statement", "before closing", "before the commit", "before opening", "rewarming"]
COMMITTED = {"before opening", "rewarming"}  # in autocommit mode the statement is its COMMIT


def rename_up_to(parent, alias, name, pk, step, atomic):
    """Save an author, and stop at this step for ever."""

    def stop(at):
        if at == step:
            parent.say(at)
            parent.expect("never")

    def stopping(before, method, after=None):
        def stopped(self, *args):
            stop(before)
            result = method(self, *args)
            stop(after)
            return result

        return stopped

    @cache_result(name=name, cache=alias, invalidates_on=[rule(rewarm=True)])
    def author_name(author_id):
        stop("rewarming")
        return Author.objects.get(pk=author_id).name

    author = Author.objects.get(pk=pk)
    author.name = "new"
    Targets.close = stopping("before closing", Targets.close, "before the commit")
    Targets.invalidate = stopping("before opening", Targets.invalidate)
    with transaction.atomic() if atomic else contextlib.nullcontext():
        stop("before the statement")
        author.save()
    raise AssertionError(f"{step!r} was never reached")


def ask_for_the_name(parent, alias, name, pk):
    """Call whenever the parent says so, and say what it returned."""
    author_name = make_author_name(alias, name)
    while parent._receive() == ("said", "call"):
        parent.say(author_name(pk))
