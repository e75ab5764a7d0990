"""What `manage.py demo` is made of: a server, a timing client, a terminal and the scenes."""
