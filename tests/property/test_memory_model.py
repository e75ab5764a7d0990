"""`MemoryCache` against a model of it: whatever the order of operations, and in forked children, too.

The model knows what may be found under a text, and until when. Something may be missing where room is
short; what is found is never old, never another's, and nothing is found that was deleted.
"""

import copy
from dataclasses import dataclass, field

import pytest
from django.core.cache import caches
from django.test import override_settings
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cache_result import CACHE_MISSING, ArgsKeyField, CacheStatus, InvalidationRule, _core, cache_result
from tests.app.models import Author
from tests.memory.forking import in_a_child, joined
from tests.property.playing import TIMES

TTL = 100
MISSING = object()
RULE = [InvalidationRule(Author, field_mapping={"b": "pk"})]
FIELDS = {
    # The rule's argument is in the key, so that a hit need not look for its scopes.
    "covered": {"a": ArgsKeyField("a", partition=True), "b": ArgsKeyField("b")},
    # It is not: calls of one key differ in their scopes.
    "hidden": {"a": ArgsKeyField("a", partition=True)},
}
ALIASES = {"plain": {"TIMEOUT": 70}, "prefixed": {"KEY_PREFIX": "p", "TIMEOUT": 50}}

wrappers = st.tuples(st.sampled_from(sorted(ALIASES)), st.sampled_from(sorted(FIELDS)))
small = st.integers(0, 1)
calls = st.tuples(wrappers, small, small)
names = st.one_of(st.sampled_from(["key", "other"]), calls)
places = st.tuples(st.sampled_from(sorted(ALIASES)), names)
values = st.sampled_from([0, 5, None, "text", [1, [2]], {"a": {1}}, (1, [2]), bytes(700)])
timeouts = st.sampled_from([None, "default", 0, -1, 20, 60])

# Sums of these are no timeout: at its very end a value may or may not be there for some milliseconds.
moments = st.sampled_from([11, 31, 81])

operations = st.one_of(
    st.tuples(st.just("call"), calls),
    st.tuples(st.just("call"), calls),
    st.tuples(st.just("look"), calls),
    st.tuples(st.just("refresh"), calls),
    st.tuples(st.just("delete_cache"), calls),
    st.tuples(st.just("wipe"), wrappers, st.sampled_from(["a", "b"]), small),
    st.tuples(st.just("invalidate_all"), wrappers),
    st.tuples(st.just("get"), places),
    st.tuples(st.just("set"), places, values, timeouts),
    st.tuples(st.just("add"), places, values, timeouts),
    st.tuples(st.just("touch"), places, timeouts),
    st.tuples(st.just("incr"), places),
    st.tuples(st.just("delete"), places),
    st.tuples(st.just("move"), places),
    st.tuples(st.just("clear"), st.sampled_from(sorted(ALIASES))),
    st.tuples(st.just("pass"), moments),
)
histories = st.lists(
    st.one_of(operations, st.tuples(st.just("fork"), st.lists(operations, max_size=8))), max_size=50
)


@dataclass
class Held:
    """What is under a text: a value, its end, and for a result its scopes."""

    value: object
    end: float
    scopes: frozenset | None = None


@dataclass
class Model:
    now: float = 0
    held: dict = field(default_factory=dict)

    def get(self, place):
        held = self.held.get(place)
        return held if held is not None and held.end > self.now else None

    def end(self, alias, timeout):
        if timeout == "default":
            timeout = ALIASES[alias].get("TIMEOUT", 300)
        return float("inf") if timeout is None else self.now + timeout


class History:
    """Plays operations on the caches and on the model, and compares."""

    def __init__(self, evicts):
        self.evicts = evicts
        self.model = Model()
        self.runs = 0
        self.wrappers = {
            (alias, kind): cache_result(
                {"fields": fields}, TTL, RULE, cache=alias, name=f"test-memory-model-{kind}"
            )(self._function(kind))
            for alias in ALIASES
            for kind, fields in FIELDS.items()
        }

    def _function(self, kind):
        if kind == "covered":

            def covered(a, b):
                self.runs += 1
                return [a, b, [self.runs]] if a else self.runs

            return covered

        def hidden(a, b):
            self.runs += 1
            return {"runs": self.runs, "more": bytes(300)}

        return hidden

    def play(self, operations):
        for name, *args in operations:
            getattr(self, f"on_{name}")(*args)

    # Where a call or a key is.

    def text(self, place):
        alias, name = place
        if isinstance(name, str):
            return alias, name
        (_, kind), a, b = name
        return alias, self.wrappers[alias, kind].get_cache_key(a, b)

    def scopes(self, a, b):
        return frozenset({("a", a), ("b", b)})

    def miss(self, text):
        """It is not there, which has to be by rights unless room is short."""
        held = self.model.get(text)
        assert held is None or self.evicts, f"{text} is lost: {held}"
        self.model.held.pop(text, None)

    # What wrappers do.

    def on_call(self, call):
        self._call(call, "__call__")

    def on_refresh(self, call):
        self._call(call, "refresh")

    def _call(self, call, method):
        wrapper, a, b = call
        text, runs = self.text((wrapper[0], call)), self.runs
        result = getattr(self.wrappers[wrapper], method)(a, b)
        held = self.model.get(text)
        valid = held is not None and held.scopes == self.scopes(a, b) and method == "__call__"
        if self.runs == runs:
            assert valid, f"{result} was stored, but is void: {held}"
            assert result == held.value
        else:
            assert not valid or self.evicts, f"run again, but {held} is there"
            assert self.runs == runs + 1
            self.model.held[text] = Held(copy.deepcopy(result), self.model.now + TTL, self.scopes(a, b))
        spoil(result)

    def on_look(self, call):
        wrapper, a, b = call
        text, runs = self.text((wrapper[0], call)), self.runs
        result = self.wrappers[wrapper].get_cache_only(a, b)
        metadata = self.wrappers[wrapper].get_cached_metadata(a, b)
        assert self.runs == runs
        held = self.model.get(text)
        valid = held is not None and held.scopes == self.scopes(a, b)
        assert (metadata is None) == (result is CACHE_MISSING)
        if result is CACHE_MISSING:
            assert not valid or self.evicts, f"{held} is lost"
        else:
            assert valid, f"{result} is void: {held}"
            assert result == held.value
            assert metadata["cache_status"] == CacheStatus.HIT
        spoil(result)

    def on_delete_cache(self, call):
        wrapper, a, b = call
        self.wrappers[wrapper].delete_cache(a, b)
        self.model.held.pop(self.text((wrapper[0], call)), None)

    def on_wipe(self, wrapper, argument, value):
        self.wrappers[wrapper].delete_by_prefix(**{argument: value})
        self._drop(wrapper, lambda scopes: (argument, value) in scopes)

    def on_invalidate_all(self, wrapper):
        self.wrappers[wrapper].invalidate_all()
        self._drop(wrapper, lambda scopes: True)

    def _drop(self, wrapper, is_meant):
        alias, _ = wrapper
        texts = {self.wrappers[wrapper].get_cache_key(a, b) for a in range(2) for b in range(2)}
        for place, held in list(self.model.held.items()):
            if place[0] == alias and place[1] in texts and held.scopes and is_meant(held.scopes):
                del self.model.held[place]

    # What Django's cache API does.

    def on_get(self, place):
        alias, key = text = self.text(place)
        cache = caches[alias]
        result = cache.get(key, MISSING)
        assert cache.has_key(key) == (result is not MISSING)
        assert cache.get_many([key]) == ({} if result is MISSING else {key: result})
        if result is MISSING:
            self.miss(text)
        else:
            held = self.model.get(text)
            assert held is not None, f"{result} was deleted, or is over"
            assert (result, type(result)) == (held.value, type(held.value))
        spoil(result)

    def on_set(self, place, value, timeout):
        alias, key = text = self.text(place)
        caches[alias].set(key, value, **timeout_of(timeout))
        self.model.held[text] = Held(value, self.model.end(alias, timeout))

    def on_add(self, place, value, timeout):
        alias, key = text = self.text(place)
        if caches[alias].add(key, value, **timeout_of(timeout)):
            self.miss(text)
            self.model.held[text] = Held(value, self.model.end(alias, timeout))
        else:
            assert self.model.get(text) is not None or self.evicts

    def on_touch(self, place, timeout):
        alias, key = text = self.text(place)
        held, end = self.model.get(text), self.model.end(alias, timeout)
        if caches[alias].touch(key, **timeout_of(timeout)):
            assert held is not None
            held.end = min(held.end, end) if held.scopes else end
        else:
            self.miss(text)

    def on_incr(self, place):
        alias, key = text = self.text(place)
        held = self.model.get(text)
        try:
            result = caches[alias].incr(key, 7)
        except ValueError:
            self.miss(text)
        except TypeError:
            assert held is not None
            assert not isinstance(held.value, int)
        else:
            assert held is not None
            assert result == held.value + 7
            self.model.held[text] = Held(result, held.end)

    def on_delete(self, place):
        alias, key = text = self.text(place)
        if caches[alias].delete(key):
            assert self.model.get(text) is not None
        else:
            self.miss(text)
        self.model.held.pop(text, None)

    def on_move(self, place):
        """To another version, where nothing looks, and back."""
        alias, key = text = self.text(place)
        cache, held = caches[alias], self.model.get(text)
        try:
            cache.incr_version(key)
            cache.decr_version(key, version=cache.version + 1)
        except ValueError:
            self.model.held.pop(text, None)
            assert held is None or self.evicts
        else:
            assert held is not None
            self.model.held[text] = Held(held.value, self.model.end(alias, "default"))

    def on_clear(self, alias):
        caches[alias].clear()
        self.model.held.clear()

    def on_pass(self, seconds):
        _core.clock_advance(seconds)
        self.model.now += seconds

    def on_fork(self, operations):
        model, runs = copy.deepcopy(self.model), self.runs
        joined(in_a_child(self.play, operations))
        assert (self.model, self.runs) == (model, runs)


def timeout_of(timeout):
    return {} if timeout == "default" else {"timeout": timeout}


def spoil(result):
    match result:
        case list():
            result.append("spoiled")
        case dict():
            result["spoiled"] = 1


SIZES = {"roomy": {}, "small": {"MAX_BYTES": 4096}, "few": {"MAX_ENTRIES": 2}}


@pytest.fixture(params=SIZES)
def size(request):
    store = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": f"model-{request.param}"}
    store["OPTIONS"] = SIZES[request.param]
    with override_settings(CACHES={alias: {**store, **spec} for alias, spec in ALIASES.items()}):
        yield request.param


@settings(
    max_examples=200 * (TIMES or 1),
    deadline=None,
    derandomize=not TIMES,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],  # explaining takes minutes
)
@given(history=histories)
def test_every_history_is_that_of_the_model(size, history):
    caches["plain"].clear()
    try:
        History(size != "roomy").play(history)
    finally:
        _core.clock_reset()
