"""A dispatcher to the cluster of Django Q2."""

from typing import Any

from cache_result.dispatching import Dispatcher, need


class DjangoQDispatcher(Dispatcher):
    """Does the work in a Django Q2 cluster, which tries again as often as its ``max_attempts`` says."""

    name = "django_q"
    options = {  # noqa: RUF012
        "cluster": None,
        "group": None,
        "function_path": "cache_result.tasks.run_cache_rules",
    }

    def validate_config(self) -> None:
        """Needs Django Q2. What can be imported only once the apps are ready is not looked at."""
        need("django_q", "django-q2", self.name)

    def dispatch(self, **told: Any) -> None:
        """Queues the work."""
        need("django_q.tasks", "django-q2", self.name).async_task(
            self.option("function_path"), q_options=self.given(cluster="cluster", group="group"), **told
        )
