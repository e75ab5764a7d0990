"""A dispatcher to Dramatiq workers."""

from typing import Any

from django.db import close_old_connections

from cache_result.dispatching import Dispatcher, need
from cache_result.exceptions import UnknownRuleError
from cache_result.invalidation.work import run_cache_rules

MOST_RETRIES = 3


class DramatiqDispatcher(Dispatcher):
    """Does the work in a Dramatiq worker. Workers find the actor in ``cache_result.tasks``, which
    django-dramatiq imports by itself."""

    name = "dramatiq"
    options = {"queue": "default", "actor_name": "cache_result.run_cache_rules"}  # noqa: RUF012

    def validate_config(self) -> None:
        """Needs Dramatiq."""
        need("dramatiq", "dramatiq", self.name)

    def prepare(self) -> None:
        """Makes the actor known to the broker in force."""
        self._actor()

    def dispatch(self, **told: Any) -> None:
        """Sends a message to the actor."""
        actor = self._actor()
        # The actor's own queue is that of the rule which made it known.
        actor.broker.enqueue(actor.message(**told).copy(queue_name=self._queue))

    @property
    def _queue(self) -> str:
        return self.option("queue") or "default"

    def _actor(self) -> Any:
        """The actor, known to the broker in force, as is the queue."""
        dramatiq = need("dramatiq", "dramatiq", self.name)
        broker, name = dramatiq.get_broker(), self.option("actor_name")
        broker.declare_queue(self._queue)
        return broker.actors.get(name) or dramatiq.actor(
            _run,
            actor_name=name,
            queue_name=self._queue,
            broker=broker,
            max_retries=MOST_RETRIES,
            throws=(UnknownRuleError,),
        )


def _run(**told: Any) -> None:
    try:
        run_cache_rules(**told)
    finally:
        close_old_connections()  # Dramatiq itself knows nothing of Django
