"""Cached views of Django and of Django REST framework: functions, classes, viewsets."""
