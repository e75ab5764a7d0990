"""Rules are looked up by model: whatever registers, goes or comes later."""

import gc
import weakref

import pytest
from django.apps import apps

from cache_result import InvalidationRule, cache_result, registry
from tests.app.models import Author, Currency, Label
from tests.backends import on
from tests.invalidation.rows import is_cached, rename

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem")]


def test_rules_that_register_later(following, author):
    first = following(Author, {"author_id": "pk"})(lambda author_id: 1)
    rename(author)
    # Fails (the second one is a hit) when `registry.register` keeps what was looked up before.
    second = following(Author, {"author_id": "pk"})(lambda author_id: 2)
    calls = [function(author.pk) for function in (first, second)]
    rename(author, "newer")
    assert calls == [1, 2]
    assert [is_cached(function, author.pk) for function in (first, second)] == [False, False]


def test_a_function_that_is_defined_again(cache_alias, unique_name, author):
    name = unique_name()

    def define(rules):
        return cache_result(cache=cache_alias, name=name, invalidates_on=rules)(lambda author_id: 1)

    rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})
    former = weakref.ref(define([rule]))
    rename(author)
    function = define([rule])
    function(author.pk)
    rename(author, "newer")
    assert not is_cached(function, author.pk)
    gc.collect()
    assert former() is None


def test_functions_that_are_gone(cache_alias, author):
    """Fails (the function is still there) when the wrappers are held."""

    def define():
        taken = object()
        rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})
        function = cache_result(cache=cache_alias, invalidates_on=[rule])(lambda author_id: taken)
        rename(author)
        return weakref.ref(function)

    with pytest.warns(match="name="):
        gone = define()
    gc.collect()
    assert gone() is None
    rename(author, "newer")


def test_a_model_that_is_defined_later(cached):
    """Fails (no rule) when what was found is kept although a rule's model was not known."""
    function = cached(invalidates_on=[InvalidationRule("app.Later", field_mapping={"key": "pk"})])(
        lambda key: 1
    )
    assert (function, function.rules[0]) not in list(registry.concerned_with(Author))
    try:

        class Later(Author):
            class Meta:
                proxy = True
                app_label = "app"

        # A proxy's rows are those of the model behind it.
        assert (function, function.rules[0]) in list(registry.concerned_with(Later))
        assert (function, function.rules[0]) in list(registry.concerned_with(Author))
    finally:
        apps.all_models["app"].pop("later", None)
        apps.clear_cache()


def test_the_rules_of_other_models_cost_a_save_nothing(following, monkeypatch):
    for _ in range(10):
        following(Currency, {"code": "pk"})(lambda code: 1)
    following(Label, {"key": "pk"})(lambda key: 1)
    label = Label.objects.create(name="x")
    asked = []
    concerns = InvalidationRule.concerns

    def counted(rule, sender):
        asked.append(rule)
        return concerns(rule, sender)

    monkeypatch.setattr(InvalidationRule, "concerns", counted)
    label.save()
    assert {rule.model for rule in asked} <= {Label}
