from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "loyalty_site.common"
    label = "common"
    verbose_name = "Operations"

    def ready(self) -> None:
        from loyalty_site.common.api import schema  # noqa: F401 - registers the OpenAPI extensions
