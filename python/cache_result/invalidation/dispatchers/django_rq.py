"""A dispatcher to the workers of django-rq."""

from typing import Any

from cache_result.dispatching import Dispatcher, need

MOST_RETRIES = 3


class DjangoRqDispatcher(Dispatcher):
    """Does the work in an RQ worker."""

    name = "django_rq"
    options = {"queue": None, "function_path": "cache_result.tasks.run_cache_rules"}  # noqa: RUF012

    def validate_config(self) -> None:
        """Needs django-rq."""
        need("rq", "django-rq", self.name)
        need("django_rq", "django-rq", self.name)

    def dispatch(self, **told: Any) -> None:
        """Enqueues the work."""
        rq, django_rq = need("rq", "django-rq", self.name), need("django_rq", "django-rq", self.name)
        queue = django_rq.get_queue(self.option("queue") or "default")
        queue.enqueue_call(
            self.option("function_path"), kwargs=told, result_ttl=0, retry=rq.Retry(max=MOST_RETRIES)
        )
