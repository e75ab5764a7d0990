"""Promises 1 and 5 under fire: two writers, now and then one of them is killed, and three readers."""

import contextlib
import os
import random

import pytest

from tests.app.models import Article, Author
from tests.backends import on
from tests.race.children import shared_state
from tests.slow import auditing

WRITERS = 2
KILLS = 6
READS = int(os.environ.get("CACHE_RESULT_TEST_READS", "105000"))  # all readers together
SEED = os.environ.get("CACHE_RESULT_TEST_SEED", "0")
READERS = (auditing.read, auditing.read, auditing.read_async)


@pytest.fixture
def rows():
    """Authors, and articles for each writer."""
    authors = [Author.objects.create(name="0").pk for _ in range(3)]
    first = auditing.owner(0, authors)
    articles = [
        [Article.objects.create(author_id=first, title="0").pk for _ in range(3)] for _ in range(WRITERS)
    ]
    return authors, articles


@pytest.mark.timeout(max(120, READS // 500))
@pytest.mark.django_db(transaction=True)
@on("redis")
def test_no_read_is_older_than_the_last_commit_before_it(cache_alias, unique_name, processes, rows):
    name, choice, (authors, articles) = unique_name(), random.Random(SEED), rows

    def writing(number, seed):
        return processes(
            auditing.write, cache_alias, name, number, f"{SEED} {seed}", authors, articles[number]
        )

    with contextlib.closing(shared_state()) as state:
        state.flushdb()
    readers = [
        processes(read, cache_alias, name, f"{SEED} {seed}", READS, authors)
        for seed, read in enumerate(READERS)
    ]
    writers = [writing(number, number) for number in range(WRITERS)]
    for child in (*readers, *writers):
        child.expect("ready")
    for reader in readers:
        reader.say("start")
    for kill in range(KILLS):
        number = choice.randrange(WRITERS)
        for _ in range(choice.randint(1, 4)):
            writers[number].expect("alive")
        writers[number].kill()  # wherever it is by now
        writers[number] = writing(number, WRITERS + kill)
        writers[number].expect("ready")
    audits = [reader.result(passing_over="reading") for reader in readers]
    assert [wrong[:3] for _, _, wrong in audits] == [[]] * len(READERS)
    assert sum(reads for reads, _, _ in audits) >= READS - auditing.CALLS
    # It was a fight: every reader was served from the cache, and had to fill it.
    assert all(reads / 10 < hits < reads for reads, hits, _ in audits), audits
