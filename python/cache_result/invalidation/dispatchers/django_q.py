"""A dispatcher to the cluster of Django Q2."""

from collections.abc import Mapping, Sequence
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

    def dispatch(
        self,
        *,
        model_label: str,
        pk: Any,
        rule_ids: Sequence[str],
        signal_type: str | None,
        rule_kwargs: Mapping[str, Any],
    ) -> None:
        """Queues the work."""
        options = {"cluster": self.option("cluster"), "group": self.option("group")}
        need("django_q.tasks", "django-q2", self.name).async_task(
            self.option("function_path"),
            model_label=model_label,
            pk=pk,
            rule_ids=list(rule_ids),
            signal_type=signal_type,
            rule_kwargs=dict(rule_kwargs),
            q_options={name: value for name, value in options.items() if value},
        )
