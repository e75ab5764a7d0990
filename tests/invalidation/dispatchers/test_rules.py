"""What a rule may say about work after the commit, and what is refused at decoration."""

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from cache_result import (
    AsyncIODispatcher,
    CacheRegister,
    CeleryDispatcher,
    Dispatcher,
    InlineDispatcher,
    InvalidationRule,
    ThreadPoolDispatcher,
    cache_result,
    dispatching,
    register_dispatcher,
    registered_dispatcher_names,
    registered_rules,
)
from cache_result.conf import get_settings
from cache_result.exceptions import UnknownRuleError
from tests.app.models import Author, Parcel

NAMES = ["asyncio", "celery", "django_q", "django_rq", "django_tasks", "dramatiq", "inline", "threadpool"]


def work(wrapper, instance):
    pass


class TestInvalidator:
    def test_excludes_a_mapping(self):
        with pytest.raises(ValueError, match="mutually exclusive"):
            InvalidationRule(Parcel, field_mapping={"pk": "pk"}, invalidator=work)

    def test_excludes_rewarming(self):
        with pytest.raises(ValueError, match="let the invalidator call refresh"):
            InvalidationRule(Parcel, rewarm=True, invalidator=work)

    def test_is_callable_or_text(self):
        with pytest.raises(TypeError, match="callable or a dotted-path string"):
            InvalidationRule(Parcel, invalidator=5)

    @pytest.mark.parametrize("path", ["", "work", "app.", ".work", "app work", "app.two words"])
    def test_text_is_a_dotted_path(self, path):
        with pytest.raises(ValueError, match="dotted import path"):
            InvalidationRule(Parcel, invalidator=path)

    def test_is_resolved(self):
        assert InvalidationRule(Parcel, invalidator=work).resolve_invalidator() is work
        assert InvalidationRule(Parcel, invalidator=f"{__name__}.work").resolve_invalidator() is work
        assert InvalidationRule(Parcel).resolve_invalidator() is None

    def test_a_rule_needs_one_or_a_mapping(self):
        expected = "must declare either `field_mapping=` or `invalidator=`"
        with pytest.raises(ValueError, match=expected):
            cache_result(invalidates_on=[InvalidationRule(Parcel)])(lambda pk: pk)


class TestDispatcher:
    def test_names(self):
        assert registered_dispatcher_names() == NAMES
        for name in NAMES:
            assert InvalidationRule(Parcel, dispatcher=name).get_dispatcher().name == name

    def test_name_class_or_instance(self, settings):
        def made(given, **config):
            return InvalidationRule(Parcel, dispatcher=given, dispatcher_config=config).get_dispatcher()

        given = ThreadPoolDispatcher(max_workers=2)
        assert made(given) is given
        assert made(ThreadPoolDispatcher, max_workers=2) == made("threadpool", max_workers=2) == given
        assert made(None) == InlineDispatcher()
        settings.CACHE_RESULT = {"DEFAULT_DISPATCHER": "asyncio"}
        assert made(None) == AsyncIODispatcher()

    def test_equal_when_they_do_the_same(self):
        assert InlineDispatcher() == InlineDispatcher()
        assert ThreadPoolDispatcher(max_workers=2) != ThreadPoolDispatcher(max_workers=3)
        assert InlineDispatcher() != AsyncIODispatcher()

    def test_an_unknown_name_is_refused_at_decoration(self):
        rule = InvalidationRule(Parcel, invalidator=work, dispatcher="carrier pigeon")
        with pytest.raises(KeyError, match=r"carrier pigeon.*celery.*threadpool"):
            cache_result(invalidates_on=[rule])(lambda pk: pk)

    def test_options_are_checked_at_decoration(self):
        for config, what in ({"max_workers": 0}, "max_workers"), ({"queue": "a"}, "queue"):
            rule = InvalidationRule(
                Parcel, invalidator=work, dispatcher="threadpool", dispatcher_config=config
            )
            with pytest.raises(ValueError, match=what):
                cache_result(invalidates_on=[rule])(lambda pk: pk)

    @pytest.mark.parametrize("workers", [0, -1, "4", 2.0, True])
    def test_a_number_of_threads_that_is_none(self, workers):
        with pytest.raises(ValueError, match="max_workers"):
            ThreadPoolDispatcher(max_workers=workers)

    @pytest.mark.parametrize("given", [5, int, object()])
    def test_of_another_kind(self, given):
        with pytest.raises(TypeError, match="subclass of Dispatcher"):
            InvalidationRule(Parcel, dispatcher=given).get_dispatcher()

    @pytest.mark.parametrize(
        "options", [{"dispatcher_config": "queue"}, {"batch": 1}, {"raise_exception": "yes"}]
    )
    def test_options_of_the_wrong_kind(self, options):
        with pytest.raises(TypeError, match=next(iter(options))):
            InvalidationRule(Parcel, **options)

    @pytest.mark.parametrize(
        ("name", "module", "package"),
        [
            ("celery", "celery", "celery"),
            ("django_q", "django_q", "django-q2"),
            ("django_rq", "django_rq", "django-rq"),
            ("dramatiq", "dramatiq", "dramatiq"),
        ],
    )
    def test_a_missing_package(self, monkeypatch, decorate, name, module, package):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        rule = InvalidationRule(Parcel, invalidator=work, dispatcher=name)
        with pytest.raises(ImportError, match=f"pip install {package}"):
            rule.get_dispatcher()
        wrapper = decorate(invalidates_on=[rule])
        assert "cache_result.E007" in findings(wrapper)

    def test_of_the_projects_own(self, monkeypatch):
        monkeypatch.setattr(dispatching, "_registered", {})

        class Own(Dispatcher):
            name = "own"

            def dispatch(self, **told):
                pass

        assert register_dispatcher(Own) is Own
        assert "own" in registered_dispatcher_names()
        assert isinstance(InvalidationRule(Parcel, dispatcher="own").get_dispatcher(), Own)

    def test_registering_what_is_none(self):
        class Nameless(Dispatcher):
            def dispatch(self, **told):
                pass

        with pytest.raises(TypeError, match="no subclass"):
            register_dispatcher(int)
        with pytest.raises(TypeError, match="no subclass"):
            register_dispatcher(InlineDispatcher())
        with pytest.raises(ValueError, match="no name"):
            register_dispatcher(Nameless)


class TestSettings:
    def test_options_of_dispatchers(self, settings):
        settings.CACHE_RESULT = {
            "DISPATCHER_SETTINGS": {"threadpool": {"MAX_WORKERS": 7}, "celery": {"QUEUE": "slow"}}
        }
        assert ThreadPoolDispatcher().option("max_workers") == 7
        assert ThreadPoolDispatcher(max_workers=2).option("max_workers") == 2
        assert CeleryDispatcher().option("queue") == "slow"
        assert CeleryDispatcher.settings() == {"QUEUE": "slow"}

    @pytest.mark.parametrize(
        "conf",
        [
            {"DEFAULT_DISPATCHER": 5},
            {"DISPATCHER_RAISE_EXCEPTION": "no"},
            {"DISPATCHER_SETTINGS": []},
            {"DISPATCHER_SETTINGS": {"celery": {"QUEU": "slow"}}},
            {"DISPATCHER_SETTINGS": {"celery": {"QUEUE": 5}}},
            {"DISPATCHER_SETTINGS": {"threadpool": {"MAX_WORKERS": 0}}},
        ],
    )
    def test_unsuitable_ones(self, settings, conf):
        settings.CACHE_RESULT = conf
        with pytest.raises(ImproperlyConfigured, match=next(iter(conf))):
            get_settings()


@pytest.fixture
def decorate(unique_name):
    def decorate(**options):
        def function(pk, language):
            return pk

        # Defined in a function, so that nobody expects other processes to know it.
        function.__qualname__ = f"<locals>.{unique_name()}"
        return cache_result(name=function.__qualname__, cache="file", **options)(function)

    return decorate


def findings(wrapper):
    return [found.id for found in run_checks() if wrapper.__qualname__ in found.msg]


class TestChecks:
    def test_sound(self, decorate):
        assert findings(decorate(invalidates_on=[InvalidationRule(Parcel, invalidator=work)])) == []

    def test_an_invalidator_that_is_not_there(self, decorate):
        wrapper = decorate(invalidates_on=[InvalidationRule(Parcel, invalidator="tests.app.nowhere.work")])
        assert findings(wrapper) == ["cache_result.E008"]

    def test_a_rewarm_that_does_not_fill_the_signature(self, decorate):
        rule = InvalidationRule(Parcel, rewarm=True, field_mapping={"pk": "pk"})
        assert findings(decorate(invalidates_on=[rule])) == ["cache_result.W007"]

    def test_a_default_that_is_not_there(self, settings):
        settings.CACHE_RESULT = {"DEFAULT_DISPATCHER": "carrier pigeon"}
        assert "cache_result.E007" in [found.id for found in run_checks()]


class TestNames:
    def test_they_say_function_model_and_targets(self, unique_name):
        name = unique_name()
        rules = [
            InvalidationRule(Parcel, field_mapping={"pk": "id"}, dispatcher="celery"),
            InvalidationRule("app.Parcel", invalidator=work),
            InvalidationRule(Parcel, field_mapping={"pk": "id"}, watch_fields=["name"]),
        ]
        wrapper = cache_result(name=name, cache="file", invalidates_on=rules)(lambda pk: pk)
        found = {rule.name: rule for rule in registered_rules() if rule.function == wrapper.label}
        assert list(found) == [
            f"{name}/file@app.Parcel(pk=id)",
            f"{name}/file@app.Parcel(pk=id)#2",
            f"{name}/file@app.Parcel({__name__}.work)",
        ]
        first, _, custom = found.values()
        assert (first.model, first.targets, first.dispatcher) == ("app.Parcel", {"pk": "id"}, "celery")
        assert (custom.targets, custom.dispatcher) == (f"{__name__}.work", "")

    def test_a_function_of_the_project_is_called_the_same_everywhere(self):
        assert "tests.app.cached.country_name/file@app.Country(code=code)" in [
            rule.name for rule in registered_rules()
        ]

    def test_unknown_ones(self):
        with pytest.raises(UnknownRuleError, match=r"nobody@app.Parcel.*MODULES"):
            CacheRegister.run_cache_rules(
                rule_ids=["nobody@app.Parcel()"], rule_kwargs={"nobody@app.Parcel()": [{"arguments": {}}]}
            )


@pytest.mark.django_db(transaction=True)
class TestCacheRegister:
    @pytest.fixture
    def function(self, unique_name):
        runs = []

        @cache_result(name=unique_name(), cache="locmem")
        def function(pk):
            runs.append(pk)
            return len(runs)

        return function

    def test_it_refuses_other_functions(self):
        with pytest.raises(AttributeError, match="not a function decorated"):
            CacheRegister.add(Parcel, len, InvalidationRule(Parcel))

    @pytest.mark.parametrize("add", [CacheRegister.add, CacheRegister.register])
    def test_a_rule_that_is_added_works(self, function, add):
        assert function(1) == 1
        rule = InvalidationRule(Author, field_mapping={"pk": "weight"})
        for _ in range(2):
            add(Parcel, function, rule)
        assert function.rules == (InvalidationRule(Parcel, field_mapping={"pk": "weight"}),)
        assert function(1) == 2  # it was stored without the rule's scope
        Parcel.objects.create(weight=2)
        assert function(1) == 2
        Parcel.objects.create(weight=1)
        assert function(1) == 3
        names = [rule.name for rule in registered_rules() if rule.function == function.label]
        assert len(names) == 1
        entry = CacheRegister.get_rule(names[0])
        assert entry["func"] is function
        assert {"function": f"{__name__}.function", "id": names[0]} in CacheRegister.get_status()["models"][
            Parcel
        ]
        CacheRegister.process_rule(entry, {"pk": 1})
        assert function(1) == 4
        CacheRegister.invalidate_for_instance(
            Parcel(weight=1), instance_created=False, signal_type=CacheRegister.SignalTypes.POST_SAVE
        )
        assert function(1) == 5

    def test_what_it_counts(self):
        assert CacheRegister.auto_discover() is CacheRegister
        assert CacheRegister.is_discovered
        assert CacheRegister.pending_count == 0
        assert CacheRegister.model_count > 0
        status = CacheRegister.get_status()
        assert status["name"] == "default"
        assert (status["discovered"], status["pending"]) == (True, 0)
        assert CacheRegister.get_rule("nobody") is None
        CacheRegister.clear()
        assert CacheRegister.model_count == 0
        assert registered_rules() == []
