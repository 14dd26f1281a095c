"""Settings. Everything that differs between machines comes from the environment, typed and checked here."""

import os
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from unfold.contrib.constance.settings import UNFOLD_CONSTANCE_ADDITIONAL_FIELDS

from loyalty_site.theme import UNFOLD  # noqa: F401 - Django reads it from here
from loyalty_site.thresholds import (
    CHURN_HORIZON_RANGE,  # noqa: F401 - the training reads it from here
    CONSTANCE_CONFIG,  # noqa: F401 - Django reads it from here
    CONSTANCE_CONFIG_FIELDSETS,  # noqa: F401 - Django reads it from here
    THRESHOLD_FIELD_TYPES,
)

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# "production" refuses unsafe values below; "demo" and "test" are one machine with its own database.
ENVIRONMENT = env.str("LOYALTY_ENV", "production")
if ENVIRONMENT not in {"production", "demo", "test"}:
    raise ImproperlyConfigured(f"LOYALTY_ENV is {ENVIRONMENT!r}; use production, demo or test.")
IS_PRODUCTION = ENVIRONMENT == "production"

DATA_DIR = Path(env.str("LOYALTY_DATA_DIR", str(BASE_DIR / ".data")))

_DEVELOPMENT_SECRET = "not-a-secret-development-only"  # noqa: S105 - refused in production below
SECRET_KEY = env.str("DJANGO_SECRET_KEY", _DEVELOPMENT_SECRET)
# former secrets, while what they signed is still in use: sessions, links and the files of trained models
SECRET_KEY_FALLBACKS = env.list("DJANGO_SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DJANGO_DEBUG", False)
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=[] if IS_PRODUCTION else ["127.0.0.1", "localhost", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    "unfold.contrib.constance",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "constance",
    "django_celery_beat",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "import_export",
    "rest_framework",
    "simple_history",
    "loyalty_site.common",
    "players",
    "wallet",
    "predictions",
    "fraud",
    "rewards",
    "loyalty_site",
]

MIDDLEWARE = [
    "loyalty_site.health.HealthMiddleware",  # first: a probe comes without a session, a known host name or TLS
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "loyalty_site.urls"
WSGI_APPLICATION = "loyalty_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

if not env.str("DATABASE_URL", ""):
    raise ImproperlyConfigured(
        "DATABASE_URL is not set. Run through ./loyalty, which starts its own PostgreSQL, "
        "or set DATABASE_URL=postgres://user:password@host:5432/name."
    )
DATABASES = {"default": env.db_url("DATABASE_URL")}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database (postgres://...); no other engine is supported.")
DATABASES["default"]["ATOMIC_REQUESTS"] = False
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", 60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
# Online requests give up on a lock instead of queueing behind a batch; jobs raise it for their own transactions. Set-based statements
# run for milliseconds at a time: compiling one takes longer than running it.
DATABASES["default"]["OPTIONS"].setdefault("options", "-c lock_timeout=3s -c timezone=UTC -c jit=off")

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
if ENVIRONMENT == "test":
    # tests make hundreds of accounts; the real hasher is slow on purpose
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = env.int("DJANGO_SESSION_HOURS", 12) * 3600

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["loyalty_site.formats"]

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("DJANGO_STATIC_ROOT", str(DATA_DIR / "static")))
_STATIC = (
    "whitenoise.storage.CompressedManifestStaticFilesStorage" if IS_PRODUCTION else "django.contrib.staticfiles.storage.StaticFilesStorage"
)
# Trained models. Every host that scores must see the same files: a folder that all of them mount, or another storage of Django.
MODEL_STORAGE = env.str("LOYALTY_MODELS_STORAGE", "predictions.artifacts.AtomicFileSystemStorage")
_FOLDER_OPTIONS = {"location": env.str("LOYALTY_MODELS_DIR", str(DATA_DIR / "models"))}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _STATIC},
    "models": {
        "BACKEND": MODEL_STORAGE,
        "OPTIONS": env.json(
            "LOYALTY_MODELS_STORAGE_OPTIONS", default=_FOLDER_OPTIONS if MODEL_STORAGE.endswith("FileSystemStorage") else {}
        ),
    },
}
# how many players of each cut-off a training looks at, how many models a process keeps open, and of how many versions of a kind the files
# are kept beside those that are needed
MODEL_TRAINING_PLAYERS = env.int("LOYALTY_MODELS_TRAINING_PLAYERS", 100_000)
MODELS_OPEN = env.int("LOYALTY_MODELS_OPEN", 12)
MODELS_KEPT = env.int("LOYALTY_MODELS_KEPT", 10)
if MODEL_TRAINING_PLAYERS < 500 or MODELS_OPEN < 1 or MODELS_KEPT < 1:
    raise ImproperlyConfigured("LOYALTY_MODELS_TRAINING_PLAYERS must be 500 or more, LOYALTY_MODELS_OPEN and _KEPT 1 or more.")
if not IS_PRODUCTION:
    WHITENOISE_USE_FINDERS = True  # served from the packages; nothing has to be collected
# The largest batch of the API: 5,000 events with long identifiers in escaped JSON. Uploaded files have a limit of their own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
MEDIA_ROOT = Path(env.str("LOYALTY_UPLOAD_DIR", str(DATA_DIR / "uploads")))

REDIS_URL = env.str("REDIS_URL", "")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object]
if REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            # test processes beside each other must not read each other's entries
            "KEY_PREFIX": f"loyalty-test-{os.getpid()}" if ENVIRONMENT == "test" else "loyalty",
        }
    }
    CELERY_BROKER_URL = REDIS_URL
    CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "socket_connect_timeout": 5}
else:
    # one machine without a server: a broker in files and a cache in the database; jobs re-scan state, so a lost message costs nothing
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "common_cache"}}
    if ENVIRONMENT == "test":
        CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CELERY_BROKER_URL = "filesystem://"
    BROKER_DIR = DATA_DIR / "broker"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(BROKER_DIR / "queue"),
        "data_folder_out": str(BROKER_DIR / "queue"),
        "control_folder": str(BROKER_DIR / "control"),
        "polling_interval": 0.1,
    }
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TASK_ALWAYS_EAGER = env.bool("CELERY_TASK_ALWAYS_EAGER", ENVIRONMENT == "test")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# The sign of life that /health/ready looks at. It passes through a worker, so it shows that beat and a worker are alive.
CELERY_BEAT_SCHEDULE = {
    "Sign of life": {
        "task": "loyalty_site.tasks.beat_heartbeat",
        "schedule": float(env.int("HEALTH_BEAT_SECONDS", 60)),
        "options": {"expires": 120},
    },
}
HEALTH_BEAT_MAX_MINUTES = env.int("HEALTH_BEAT_MAX_MINUTES", 5)
# how many workers are asked to take part in one job run, beside its coordinator
JOB_FANOUT = env.int("LOYALTY_JOB_FANOUT", 2)

# Where released bonus money is reported (docs/bonuses.md). Without an address the platform fetches the instructions over the API.
PLATFORM_PAYOUT_URL = env.str("LOYALTY_PLATFORM_PAYOUT_URL", "")
PLATFORM_SECRET = env.str("LOYALTY_PLATFORM_SECRET", "")
PLATFORM_TIMEOUT_SECONDS = env.float("LOYALTY_PLATFORM_TIMEOUT_SECONDS", 10.0)
PLATFORM_MAX_ATTEMPTS = env.int("LOYALTY_PLATFORM_MAX_ATTEMPTS", 12)
if PLATFORM_PAYOUT_URL:
    if not PLATFORM_PAYOUT_URL.startswith(("https://",) if IS_PRODUCTION else ("https://", "http://")):
        raise ImproperlyConfigured("LOYALTY_PLATFORM_PAYOUT_URL must be an https:// address: it moves players' money.")
    if len(PLATFORM_SECRET) < 32:
        raise ImproperlyConfigured(
            "LOYALTY_PLATFORM_SECRET must have 32 characters or more: it signs what LOYALTY_PLATFORM_PAYOUT_URL gets."
        )
if not 0 < PLATFORM_TIMEOUT_SECONDS <= 60:
    raise ImproperlyConfigured("LOYALTY_PLATFORM_TIMEOUT_SECONDS must be above 0 and at most 60.")
if PLATFORM_MAX_ATTEMPTS < 1:
    raise ImproperlyConfigured("LOYALTY_PLATFORM_MAX_ATTEMPTS must be 1 or more.")

# The operator's API that players, deposits, bonuses and logs are fetched from (docs/feeds.md). Without an address nothing is fetched.
FEED_URL = env.str("LOYALTY_FEED_URL", "")
FEED_AUTH = env.str("LOYALTY_FEED_AUTH", "")
FEED_PATHS = env.dict(
    "LOYALTY_FEED_PATHS",
    default={
        "players": "players_details",
        "deposits": "players_deposit_details",
        "bonuses": "players_bonus_details",
        "logs": "players_log_details",
    },
)
FEED_PARAMETERS = env.dict("LOYALTY_FEED_PARAMETERS", default={"since": "from", "until": "to", "page": "page", "page_size": "per_page"})
FEED_PAGE_SIZE = env.int("LOYALTY_FEED_PAGE_SIZE", 500)
FEED_TIMEOUT_SECONDS = env.float("LOYALTY_FEED_TIMEOUT_SECONDS", 20.0)
FEED_ATTEMPTS = env.int("LOYALTY_FEED_ATTEMPTS", 5)
FEED_WINDOW_DAYS = env.int("LOYALTY_FEED_WINDOW_DAYS", 7)
FEED_OVERLAP_MINUTES = env.int("LOYALTY_FEED_OVERLAP_MINUTES", 60)
FEED_STALE_AFTER_MINUTES = env.int("LOYALTY_FEED_STALE_AFTER_MINUTES", 60)  # four times the quarter of an hour of the schedule
if FEED_URL and not FEED_URL.startswith(("https://",) if IS_PRODUCTION else ("https://", "http://")):
    raise ImproperlyConfigured("LOYALTY_FEED_URL must be an https:// address: it answers with players' data.")
if unknown_resources := set(FEED_PATHS) - {"players", "deposits", "bonuses", "logs"}:
    raise ImproperlyConfigured(f"LOYALTY_FEED_PATHS: unknown {', '.join(sorted(unknown_resources))}; use players, deposits, bonuses, logs.")
if set(FEED_PARAMETERS) != {"since", "until", "page", "page_size"}:
    raise ImproperlyConfigured("LOYALTY_FEED_PARAMETERS must name since, until, page and page_size.")
if not 1 <= FEED_PAGE_SIZE <= 10_000 or not 0 < FEED_TIMEOUT_SECONDS <= 300 or not 1 <= FEED_ATTEMPTS <= 20:
    raise ImproperlyConfigured(
        "LOYALTY_FEED_PAGE_SIZE must be 1 to 10000, LOYALTY_FEED_TIMEOUT_SECONDS above 0 and at most 300, LOYALTY_FEED_ATTEMPTS 1 to 20."
    )
if FEED_WINDOW_DAYS < 1 or FEED_OVERLAP_MINUTES < 0 or FEED_STALE_AFTER_MINUTES < 1:
    raise ImproperlyConfigured(
        "LOYALTY_FEED_WINDOW_DAYS and LOYALTY_FEED_STALE_AFTER_MINUTES must be 1 or more, LOYALTY_FEED_OVERLAP_MINUTES 0 or more."
    )

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "loyalty_site.common.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["loyalty_site.common.api.permissions.ScopePermission"],
    "DEFAULT_FILTER_BACKENDS": ["loyalty_site.common.api.filters.StrictFilterBackend", "rest_framework.filters.OrderingFilter"],
    "DEFAULT_PAGINATION_CLASS": "loyalty_site.common.api.pagination.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "loyalty_site.common.api.schema.DocumentedSchema",
    "DEFAULT_THROTTLE_CLASSES": ["loyalty_site.common.api.throttling.ApiKeyThrottle"],
    "EXCEPTION_HANDLER": "loyalty_site.common.api.problems.problem_handler",
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Loyalty back-office API",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "PlayerStatus": "players.models.Player.Status",
        "PaymentStatus": "players.models.Payment.Status",
        "GrantStatus": "wallet.models.GrantStatus",
        "LedgerUnit": "wallet.models.Unit",
        "PaymentKind": "players.models.Payment.Kind",
        "FileKind": "players.models.ImportMapping.FileKind",
        "PredictionKind": "predictions.models.Kind",
        "ModelStatus": "predictions.models.ModelVersion.Status",
    },
}

# Thresholds that staff edit on the settings page; changes are audited.
CONSTANCE_BACKEND = "constance.backends.database.DatabaseBackend"
CONSTANCE_SUPERUSER_ONLY = False  # who may read and change what is decided by roles
CONSTANCE_DATABASE_CACHE_BACKEND = None
CONSTANCE_ADDITIONAL_FIELDS = {**UNFOLD_CONSTANCE_ADDITIONAL_FIELDS, **THRESHOLD_FIELD_TYPES}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("LOYALTY_LOG_LEVEL", "INFO")},
}

if IS_PRODUCTION:
    _LOCAL = "For a trial on one machine run ./loyalty demo or set LOYALTY_ENV=demo."
    if any(len(secret) < 32 for secret in SECRET_KEY_FALLBACKS):
        raise ImproperlyConfigured("DJANGO_SECRET_KEY_FALLBACKS lists a secret shorter than 32 characters; list former secrets only.")
    if SECRET_KEY == _DEVELOPMENT_SECRET or len(SECRET_KEY) < 32:
        raise ImproperlyConfigured(f"DJANGO_SECRET_KEY is missing or shorter than 32 characters; set a random one. {_LOCAL}")
    if DEBUG:
        raise ImproperlyConfigured("DJANGO_DEBUG must be off in production: it shows settings and data to every visitor.")
    if not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS:
        raise ImproperlyConfigured(f"DJANGO_ALLOWED_HOSTS must list the host names that serve this site, without '*'. {_LOCAL}")
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = env.bool("DJANGO_SECURE_SSL_REDIRECT", True)
    SECURE_HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", 31536000)
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
