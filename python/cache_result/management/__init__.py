"""`manage.py cache_result`."""
