#!/usr/bin/env python
"""Django's command line. `./loyalty manage ...` calls it with the database started and the environment set."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # a setting is missing or wrong: its message says which and what to do
        sys.exit(f"manage.py: {error}")
