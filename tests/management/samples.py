"""Functions for the command to find, and the command itself."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from cache_result import (
    ArgsKeyField,
    InvalidationRule,
    KeyConstructor,
    RequestValueKeyField,
    cache_result,
    registry,
)
from tests.app.models import Country

HERE = __name__


class ShopKey(KeyConstructor):
    country = ArgsKeyField("country", partition=True)
    language = ArgsKeyField("language", partition=True)
    page = ArgsKeyField("page")

    class Meta:
        namespace = "shop"
        version = 2


def refresh_prices(wrapper, instance):
    pass


@cache_result(
    ShopKey,
    ttl=90,
    cache="file",
    invalidates_on=[
        InvalidationRule(
            Country, field_mapping={"country": "code"}, watch_fields=["name"], require_args=False
        ),
        InvalidationRule("app.Author", invalidator=f"{HERE}.refresh_prices", dispatcher="threadpool"),
    ],
)
def prices(country, language, page=1):
    return [country, language, page]


# No other test is to fire its rules.
registry.forget(prices)
registry.late.pop(prices.label, None)


@cache_result(ttl=None, cache="file", name="prices of tomorrow", single_flight=None)
async def aprices(day):
    return [day]


@cache_result({"fields": {"user": RequestValueKeyField("user.pk", partition=True)}}, cache="file")
def basket(request):
    return request.user.pk


class Shop:
    @cache_result(cache="locmem")
    def open(self, day):
        return day


class OtherShop:
    @cache_result(cache="locmem")
    def open(self, day):
        return day


def ttl_of(result):
    return 5


def answer():
    return 42


def run(*words):
    out = io.StringIO()
    call_command("cache_result", *words, stdout=out)
    return out.getvalue()


def data(*words):
    return json.loads(run(*words, "--json"))


def refused(*words):
    with pytest.raises(CommandError) as raised:
        run(*words)
    return str(raised.value)
