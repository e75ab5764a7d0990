"""The Django app: wires the two lanes together."""

from django.apps import AppConfig
from django.core import checks as django_checks


class CacheResultConfig(AppConfig):
    """``cache_result`` in ``INSTALLED_APPS``."""

    name = "cache_result"
    verbose_name = "Cached results"

    def ready(self) -> None:
        """Checks the settings, connects the receivers and finds the rules."""
        from cache_result import _core, checks
        from cache_result.conf import get_settings
        from cache_result.invalidation import discovery, receivers
        from cache_result.views.attach import register_marked_methods

        get_settings()
        django_checks.register(checks.check_caches, django_checks.Tags.caches)
        django_checks.register(checks.check_deployment, django_checks.Tags.caches, deploy=True)
        django_checks.register(checks.check_memory, django_checks.Tags.caches)
        django_checks.register(checks.check_keys, django_checks.Tags.caches)
        django_checks.register(checks.check_rules, django_checks.Tags.caches)
        django_checks.register(checks.check_work, django_checks.Tags.caches)
        receivers.connect()
        discovery.discover(complete=register_marked_methods)
        _core.reconfigured()
