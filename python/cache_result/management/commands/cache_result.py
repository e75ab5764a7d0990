"""``manage.py cache_result``: what is cached, under which keys, by which rules; and wiping it."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from inspect import signature
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from cache_result import registry
from cache_result.invalidation import discovery
from cache_result.management import facts, text
from cache_result.management.arguments import HELP, Call, read_call, require_whole_call
from cache_result.management.functions import Wrapper, find, known
from cache_result.management.wiping import asked, perform, unreachable, wipe, wipe_all

FUNCTION = "its dotted name (shop.api.price), the end of one that no other has (price), or its name="


class Command(BaseCommand):
    """See the module."""

    help = "Shows what cache_result caches, under which keys and by which rules, and wipes it."
    requires_system_checks = []  # noqa: RUF012 - the type is Django's; no error elsewhere keeps from wiping

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        self._add(actions, "list", "the cached functions, with ttl, cache and what wipes them")
        info = self._add(actions, "info", "all of a function; with arguments, whether that call is cached")
        key = self._add(actions, "key", "the key of a call, and what it is made of")
        wiping = self._add(actions, "wipe", "invalidates a function; with arguments, one of its partitions")
        self._add(actions, "rules", "which models invalidate which functions")
        for action in (info, key, wiping):
            optional = {"nargs": "?"} if action is wiping else {}
            action.add_argument("function", help=FUNCTION, **optional)  # type: ignore[arg-type]
            action.add_argument("arguments", nargs="*", help=HELP)
        wiping.add_argument("--exact", action="store_true", help="delete the entry of this one call")
        wiping.add_argument("--all", action="store_true", help="wipe every function")
        wiping.add_argument(
            "--this-process",
            action="store_true",
            help="wipe although the cache belongs to one process, and others do not hear of it",
        )
        wiping.add_argument(
            "--no-input", "--noinput", action="store_false", dest="interactive", help="do not ask, with --all"
        )

    def _add(self, actions: Any, name: str, about: str) -> ArgumentParser:
        action: ArgumentParser = actions.add_parser(name, help=about, description=about)
        action.add_argument("--json", action="store_true", help="for scripts")
        return action

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Runs the action.

        :raises CommandError: when it cannot be done.
        """
        self._json = options.get("json", False)
        if not registry.is_discovered():
            discovery.discover()
        try:
            getattr(self, f"_{action}")(**options)
        except ImproperlyConfigured as error:
            raise CommandError(str(error).removeprefix("cache_result: ")) from error

    def _list(self, **options: Any) -> None:
        found = [facts.summary(wrapper) for wrapper in known()]
        heads = ("FUNCTION", "TTL", "CACHE", "RULES", "PARTITIONS")
        rules = sum(function["rules"] for function in found)
        lines = text.table(heads, [text.function_row(function) for function in found])
        self._say(found, [*lines, f"{len(found)} functions, {rules} rules"])

    def _info(self, function: str, arguments: list[str], **options: Any) -> None:
        wrapper = find(function)
        found = facts.details(wrapper)
        entry = None
        if arguments or not signature(wrapper.func).parameters:
            call = _whole_call(wrapper, arguments)
            metadata = perform(wrapper, "get_cached_metadata", call)
            if metadata is None and wrapper.storage.is_in_trouble:
                raise CommandError(f"Out of reach: {found['cache']!r}. Nobody can tell what is cached there.")
            unseen = None if metadata else unreachable(found["cache"])
            found |= {"entry": metadata, "note": unseen}
            entry = text.entry_text(metadata, unseen)
        self._say(found, text.function_text(found, entry))

    def _key(self, function: str, arguments: list[str], **options: Any) -> None:
        wrapper = find(function)
        args, kwargs = _whole_call(wrapper, arguments)
        explanation = asked(wrapper.explain_key, *args, **kwargs)
        self._say(asdict(explanation), [str(explanation)])

    def _wipe(self, function: str | None, arguments: list[str], **options: Any) -> None:
        here = options["this_process"]
        if options["all"]:
            if function is not None or options["exact"]:
                raise CommandError("--all wipes every function: give no function with it, and no --exact")
            done = wipe_all(self._confirm if options["interactive"] else lambda what: True, this_process=here)
        elif function is None:
            raise CommandError("Give a function, or --all")
        else:
            call = read_call(arguments)
            done = wipe(find(function), call, exact=options["exact"], this_process=here)
        self._say({"done": done}, [f"{done}."])

    def _rules(self, **options: Any) -> None:
        models = facts.rules_by_model()
        lines: list[str] = []
        for model, rules in models.items():
            lines.append(model)
            for rule in rules:
                lines += text.rule_lines(rule, rule["function"])
        self._say(models, lines or ["There are no rules."])

    def _confirm(self, what: str) -> bool:
        self.stdout.write(what)
        return input("Type 'yes' to continue, or 'no' to cancel: ") == "yes"

    def _say(self, data: Any, lines: list[str]) -> None:
        self.stdout.write(json.dumps(data, indent=2, default=str) if self._json else "\n".join(lines))


def _whole_call(wrapper: Wrapper, arguments: list[str]) -> Call:
    call = read_call(arguments)
    require_whole_call(wrapper, call)
    return call
