from . import api_access  # noqa: F401 - registers the admin
