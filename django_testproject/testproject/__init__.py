"""Settings and root URLs of the demo project."""
