import pytest
from django.test import Client

from tests.responses import views


@pytest.mark.parametrize(
    "path",
    [
        "Api/1",
        "set",
        "set/1",
        "set/1/stats",
        "set/1/figures",
        "whole-set",
        "whole-set/1",
    ],
)
def test_hits(get, path):
    a = get(f"/{path}/")
    b = get(f"/{path}/")
    assert a.content == b.content, (a, b)
    assert sum(views.runs.values()) == 1
    assert {"Age", "ETag"} <= set(b.headers)
    ha = {k: v for k, v in a.headers.items() if k != "Age" and k != "X-Cache-status"}
    hb = {k: v for k, v in b.headers.items() if k != "Age" and k != "X-Cache-status"}
    assert ha == hb
    assert a.status_code == b.status_code


@pytest.mark.parametrize("path", ["ApiDispatched/1", "ApiWhole/1", "api_function/1", "api_front/1", "Api/1"])
def test_users(client_of, path):
    alice, bob = client_of("alice"), client_of("bob")
    a = alice.get(f"/{path}/")
    b = bob.get(f"/{path}/")
    a2 = alice.get(f"/{path}/")
    assert sum(views.runs.values()) == 2
    assert a.content == a2.content != b.content
    c = Client().get(f"/{path}/")
    print(c, c.headers)
    assert sum(views.runs.values()) in (2, 3)
