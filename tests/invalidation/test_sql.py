"""What the text of a statement tells of the rows that it reaches. In doubt nothing."""

import pytest

from cache_result.invalidation.sql import UNKNOWN, read


def pins(where, *params):
    """What a WHERE pins columns to, in an UPDATE and in a DELETE alike."""
    update = read(f'UPDATE "t" SET "x" = %s WHERE {where}', ("new", *params), "t")
    delete = read(f'DELETE FROM "t" WHERE {where}', params, "t")
    assert (update is None) is (delete is None)
    if update is None or delete is None:
        return None
    assert update.pinned == delete.pinned
    return {column: list(values) for column, values in update.pinned.items()}


@pytest.mark.parametrize(
    ("where", "params", "expected"),
    [
        ('"t"."a" = %s', (1,), {"a": [1]}),
        ("a = %s", (1,), {"a": [1]}),
        ("((t.A = %s))", (1,), {"a": [1]}),
        ("`t`.`a` IN (%s)", (1,), {"a": [1]}),
        ('"s"."t"."a" IN (%s, %s ,%s)', (1, 2, 3), {"a": [1, 2, 3]}),
        ('"t"."a" IS NULL', (), {"a": [None]}),
        ('("t"."a" = %s AND "t"."b" IN (%s, %s))', (1, 2, 3), {"a": [1], "b": [2, 3]}),
        ('"t"."b" > %s AND "t"."a" = %s', (1, 2), {"a": [2]}),
        (
            '"t"."b" = %s AND ("t"."c" = %s OR "t"."d" = %s) AND "t"."a" = %s',
            (1, 2, 3, 4),
            {"b": [1], "a": [4]},
        ),
        ('NOT ("t"."b" = %s AND "t"."c" = %s) AND "t"."a" = %s', (1, 2, 3), {"a": [3]}),
        ('"t"."b" LIKE %s ESCAPE \'\\\' AND "t"."a" = %s', (1, 2), {"a": [2]}),
        ('"t"."b"::text LIKE %s AND "t"."a" = %s', (1, 2), {"a": [2]}),
        ('UPPER("t"."b"::text) LIKE UPPER(%s) AND "t"."a" = %s', (1, 2), {"a": [2]}),
        ('"t"."flag" AND NOT "t"."other" AND "t"."a" = %s', (1,), {"a": [1]}),
        ('EXISTS(SELECT 1 FROM u WHERE u.x = %s) AND "t"."a" = %s', (1, 2), {"a": [2]}),
        ('"t"."b" IN (SELECT U0."x" FROM "u" U0 WHERE U0."y" = %s) AND "t"."a" = %s', (1, 2), {"a": [2]}),
        ('"t"."b" IS NOT NULL AND "t"."a" = %s', (1,), {"a": [1]}),
        ('"t"."a" = %s AND "t"."a" IN (%s)', (1, 2), {"a": [1]}),
    ],
)
def test_what_a_where_pins(where, params, expected):
    assert pins(where, *params) == expected


@pytest.mark.parametrize(
    ("where", "params"),
    [
        ('"t"."a" = %s OR "t"."b" = %s', (1, 2)),
        ('"t"."b" = %s OR "t"."c" = %s AND "t"."a" = %s', (1, 2, 3)),
        ('"t"."b" = %s XOR "t"."c" = %s AND "t"."a" = %s', (1, 2, 3)),
        ('"t"."b" = %s || "t"."c" = %s AND "t"."a" = %s', (1, 2, 3)),
        ('"t"."b" BETWEEN %s AND "t"."a" = %s', (1, 2)),
        ('CASE WHEN "t"."b" = %s THEN TRUE ELSE FALSE END AND "t"."a" = %s', (1, 2)),
        ('CASE WHEN "t"."b" = %s AND "t"."a" = %s THEN TRUE ELSE FALSE END', (1, 2)),
        ('"u"."a" = %s', (1,)),
        ('"t"."a" = %s RETURNING "t"."a"', (1,)),
        ('"t"."a" = %s ORDER BY "t"."b" LIMIT %s', (1, 2)),
        ('"t"."a" = %s COLLATE nocase', (1,)),
        ('"t"."a" = %s IS NULL', (1,)),
        ('"t"."a" = %s -- and more', (1,)),
        ('"t"."a" = %s /* and more */', (1,)),
        ('"t"."a" = %s AND "t"."b" = \'%s\'', (1, 2)),
        ('"t"."b" = \'it\\\'s\' OR \'\' = \'\' AND "t"."a" = %s', (1,)),
        ('"t"."a" = %s AND $$ OR $$ = $$ $$', (1,)),
        ('"t"."a" = %s)', (1,)),
        ('("t"."a" = %s', (1,)),
        ('"t"."a" = %s', (1, 2)),
        ("", ()),
    ],
)
def test_what_is_in_doubt(where, params):
    assert pins(where, *params) is None


@pytest.mark.parametrize(
    ("where", "params"),
    [
        ('("t"."a" = %s OR "t"."b" = %s)', (1, 2)),
        ('NOT ("t"."a" = %s)', (1,)),
        ('"t"."a" > %s', (1,)),
        ('"t"."a" NOT IN (%s)', (1,)),
        ('"t"."a" IN (SELECT %s)', (1,)),
        ('LOWER("t"."a") = %s', (1,)),
        ('"t"."a" = "t"."b"', ()),
        ('"t"."a"::text = %s', (1,)),
    ],
)
def test_what_pins_nothing(where, params):
    assert pins(where, *params) == {}


@pytest.mark.parametrize(
    ("where", "params", "alone"),
    [
        ('"t"."a" = %s', (1,), "a"),
        ('(("t"."a" IN (%s, %s)))', (1, 2), "a"),
        ('"t"."a" = %s AND "t"."b" > %s', (1, 2), None),
        ('("t"."a" = %s AND "t"."a" = %s)', (1, 2), None),
        ('"t"."a" > %s', (1,), None),
    ],
)
def test_what_is_all_that_a_where_says(where, params, alone):
    statement = read(f'DELETE FROM "t" WHERE {where}', params, "t")
    assert statement is not None
    assert statement.alone == alone


def test_what_an_update_assigns():
    sql = 'UPDATE "t" SET "a" = %s, "b" = NULL, "c" = ("t"."c" + %s)'
    cases = '"d" = CASE WHEN ("t"."x" = %s) THEN %s ELSE NULL END'
    statement = read(f"{sql}, {cases}, e = %s::int WHERE id = %s", [1, 2, 3, 4, 5, 6], "t")
    assert statement is not None
    assert statement.assigned == {"a": 1, "b": None, "c": UNKNOWN, "d": UNKNOWN, "e": UNKNOWN}
    assert statement.pinned == {"id": [6]}


INSERT = 'INSERT INTO "t" ("a", "b") '


@pytest.mark.parametrize(
    ("sql", "params", "rows"),
    [
        ("VALUES (%s, %s)", (1, 2), [(1, 2)]),
        ("VALUES (%s, %s), (%s, %s)", (1, 2, 3, 4), [(1, 2), (3, 4)]),
        ("VALUES (%s, NULL), (DEFAULT, F(%s))", (1, 2), [(1, None), (UNKNOWN, UNKNOWN)]),
        (
            "SELECT * FROM UNNEST((%s)::int[], (%s)::timestamp with time zone[])",
            ([1, 3], [2, 4]),
            [(1, 2), (3, 4)],
        ),
        ('VALUES (%s, %s) RETURNING "t"."id", "t"."c"', (1, 2), [(1, 2)]),
        ("VALUES (%s, %s) ON CONFLICT DO NOTHING", (1, 2), [(1, 2)]),
        ('VALUES (%s, %s) ON CONFLICT("a") DO NOTHING RETURNING id', (1, 2), [(1, 2)]),
    ],
)
def test_what_an_insert_adds(sql, params, rows):
    statement = read(INSERT + sql, params, "t")
    assert statement is not None
    assert [(row["a"], row["b"]) for row in statement.rows] == rows
    assert statement.conflict is None


def test_what_an_insert_returns():
    statement = read(INSERT + 'VALUES (%s, %s) RETURNING "t"."id", "t"."C"', (1, 2), "t")
    assert statement is not None
    assert statement.returned == ("id", "c")


def test_an_insert_that_updates():
    sql = 'VALUES (%s, %s) ON CONFLICT("a") DO UPDATE SET "b" = EXCLUDED."b" RETURNING "t"."id"'
    statement = read(INSERT + sql, (1, 2), "t")
    assert statement is not None
    assert statement.conflict == {"a"}


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        (INSERT + "SELECT %s, %s", (1, 2)),
        (INSERT + "SELECT * FROM u", ()),
        (INSERT + "DEFAULT VALUES", ()),
        (INSERT + "VALUES (%s)", (1,)),
        (INSERT + "VALUES (%s, %s) ON CONFLICT DO UPDATE SET b = %s", (1, 2, 3)),
        (INSERT + 'VALUES (%s, %s) ON CONFLICT("a") DO UPDATE SET "b" = EXCLUDED."a"', (1, 2)),
        (INSERT + 'VALUES (%s, %s) ON CONFLICT("a") DO UPDATE SET "b" = %s', (1, 2, 3)),
        (INSERT + "VALUES (%s, %s) ON DUPLICATE KEY UPDATE b = %s", (1, 2, 3)),
        (INSERT + "VALUES (%s, %s) RETURNING *", (1, 2)),
        ('INSERT OR REPLACE INTO "t" ("a", "b") VALUES (%s, %s)', (1, 2)),
        ('INSERT INTO "t" VALUES (%s, %s)', (1, 2)),
        ('INSERT INTO "u" ("a", "b") VALUES (%s, %s)', (1, 2)),
        ('UPDATE OR REPLACE "t" SET "a" = %s WHERE "t"."b" = %s', (1, 2)),
        ('UPDATE "t" AS u SET "a" = %s WHERE u."b" = %s', (1, 2)),
        ('UPDATE "t" SET "a" = u.a FROM u WHERE "t"."b" = %s', (1,)),
        ('UPDATE "t" SET ("a", "b") = (%s, %s) WHERE "t"."b" = %s', (1, 2, 3)),
        ('UPDATE "t" SET "a" = %s', (1,)),
        ('UPDATE "t" SET "a" = %s -- WHERE "t"."b" IS NULL', (1,)),
        ('DELETE FROM "t" USING u WHERE "t"."b" = %s', (1,)),
        ('DELETE FROM "t"', ()),
        ('DELETE FROM "t" WHERE "t"."a" = %(a)s', {"a": 1}),
        ('MERGE INTO "t" USING u ON "t"."a" = %s', (1,)),
        ("", ()),
    ],
)
def test_statements_that_are_in_doubt(sql, params):
    assert read(sql, params, "t") is None
