"""Signals of our own.

``cache_rewarmed`` is sent when the call of a rule with ``rewarm=True`` has been computed again, in the
process that did it. The sender is the wrapper. Receivers get ``wrapper``, ``args`` and ``kwargs`` of the
call, and ``error``: what it raised in the end, or None. What a receiver raises is logged.
"""

from django.dispatch import Signal

cache_rewarmed = Signal()
