"""What tests count, and pieces of views that count."""

from collections import Counter

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.throttling import BaseThrottle

counts = Counter()


def count(what):
    """How often it has happened by now."""
    counts[what] += 1
    return counts[what]


class ByHeader(BaseAuthentication):
    """Users by name, in a header of our own."""

    def authenticate(self, request):
        count("authentication")
        name = request.headers.get("X-User")
        if name is None:
            return None
        try:
            return User.objects.get(username=name), None
        except User.DoesNotExist:
            raise AuthenticationFailed("unknown user") from None

    def authenticate_header(self, request):
        return "X-User"


class Throttle(BaseThrottle):
    """Allows it unless told otherwise."""

    def allow_request(self, request, view):
        count("throttle")
        return "throttled" not in request.query_params


class Permission(BasePermission):
    """Permits it unless told otherwise."""

    def has_permission(self, request, view):
        count("permission")
        return "forbidden" not in request.query_params


CHECKS = {
    "authentication_classes": [ByHeader],
    "permission_classes": [Permission],
    # The first one counts a request before the second can refuse it.
    "throttle_classes": [Throttle, Throttle],
}
