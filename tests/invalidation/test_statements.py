"""Which statements count as writes."""

import pytest
from psycopg import sql

from cache_result.writes import is_write


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "  select * from t",
        "/* who asks */ SELECT 1",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        'SAVEPOINT "s1"',
        "RELEASE SAVEPOINT s1",
        "EXPLAIN SELECT 1",
        "SELECT 1;",
        b"SELECT 1",
        sql.SQL("SELECT {}").format(sql.Literal(1)),
    ],
)
def test_reads(statement):
    assert not is_write(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET x = 1",
        "DELETE FROM t",
        "SELECT * INTO u FROM t",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "SELECT 1; UPDATE t SET x = 1",
        "SET LOCAL x = 1; UPDATE t SET x = 1",
        "EXPLAIN ANALYZE UPDATE t SET x = 1",
        "CALL procedure()",
        "COPY t FROM STDIN",
        "TRUNCATE t",
        b"UPDATE t SET x = 1",
        sql.SQL("UPDATE {} SET x = 1").format(sql.Identifier("t")),
    ],
)
def test_writes(statement):
    assert is_write(statement)
