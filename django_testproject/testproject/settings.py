"""Settings of the demo: SQLite, one MemoryCache, the loopback interface only.

Environment: ``GEO_DATABASE`` (path of the SQLite file), ``DJANGO_DEBUG`` (``0`` turns debug pages off),
``DJANGO_SECRET_KEY``.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# A demo key: it signs nothing, since the project has no sessions, users or forms.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "django-insecure-demo-key-never-use-it-elsewhere")
DEBUG = os.environ.get("DJANGO_DEBUG", "1").lower() not in {"0", "false", "no", "off"}
# Anyone who reaches the API may change a city, so only this machine does.
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.staticfiles",  # style sheets of the browsable API
    "rest_framework",
    "cache_result",
    "geo",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "testproject.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
STATIC_URL = "static/"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("GEO_DATABASE", BASE_DIR / "geo.sqlite3"),
        "OPTIONS": {"timeout": 20},  # seconds to wait for another process's write
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Entries live in the memory of each process, and hits never leave it. HOST_INDEX: processes with this
# LOCATION share a table in memory, so that each hears at once of what the others invalidate.
CACHES = {
    "default": {
        "BACKEND": "cache_result.backends.MemoryCache",
        "LOCATION": f"geo, of {DATABASES['default']['NAME']}",
        "OPTIONS": {"HOST_INDEX": True},
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "UNAUTHENTICATED_USER": None,  # django.contrib.auth is not installed
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
