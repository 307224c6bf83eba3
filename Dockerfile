# The base is pinned to a release. A tag can be moved, which a digest cannot: to build on the one that
# you have examined, or on a copy in your own registry, docker build --build-arg BASE=…@sha256:…. It
# needs Python 3.11 or newer as `python`, with venv, and useradd; the image is labelled with it.
ARG BASE=docker.io/library/python:3.13.9-slim-bookworm

FROM ${BASE} AS packages

WORKDIR /build
COPY requirements/main.txt .
RUN python -m venv /venv \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --no-deps --requirement main.txt


FROM ${BASE}
ARG BASE

# Nothing is written to the root file system when it runs: the bytecode is made here, and what
# libraries put into /tmp goes to memory.
ENV PATH="/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MONITORING_ADDRESS=0.0.0.0

LABEL org.opencontainers.image.title="JumpCloud Directory Insights for Sekoia.io" \
    org.opencontainers.image.description="Collects JumpCloud Directory Insights events and pushes them to a Sekoia.io intake" \
    org.opencontainers.image.version="2.0.0" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.base.name="${BASE}"

# The user connector, and nobody else but root, reads and writes /app/data. A named volume takes its
# owner over when it is first mounted; a folder of the host keeps its own: chown 1000 it.
WORKDIR /app
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin connector \
    && install --directory --owner connector --group connector --mode 700 /app/data \
    && rm -rf /tmp && ln -s /dev/shm /tmp

COPY --from=packages /venv /venv
COPY main.py module.json manifest.json connector_*.json trigger_*.json ./
COPY jumpcloud_modules jumpcloud_modules
# Readable to that user also where a strict umask made the files that were copied.
RUN PYTHONDONTWRITEBYTECODE= python -m compileall -q main.py jumpcloud_modules \
    && chmod -R go=u-w *.py *.json jumpcloud_modules

# By its number: Kubernetes (runAsNonRoot) believes no name.
USER 1000

# Health and metrics; LIVENESS_PORT and METRICS_PORT name others.
EXPOSE 8000 8020

# Not urllib, which would go through HTTP_PROXY. The image has no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys;\
port = int(os.environ.get('LIVENESS_PORT') or 8000);\
end = http.client.HTTPConnection('127.0.0.1', port, timeout=4);\
end.request('GET', '/health');\
sys.exit(end.getresponse().status != 200)"]

ENTRYPOINT ["python", "./main.py"]
