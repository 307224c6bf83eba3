# The base is pinned to a release, so that a build of today and one of next month are the same.
FROM python:3.13.9-slim-bookworm AS packages

WORKDIR /build
COPY requirements/main.txt .
RUN python -m venv /venv \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --no-deps --requirement main.txt


FROM python:3.13.9-slim-bookworm

# Nothing is written to the root file system when it runs: the bytecode is made here, and what
# libraries put into /tmp goes to memory.
ENV PATH="/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin connector \
    && install --directory --owner connector /app/data \
    && rm -rf /tmp && ln -s /dev/shm /tmp

COPY --from=packages /venv /venv
COPY main.py module.json manifest.json connector_*.json trigger_*.json ./
COPY jumpcloud_modules jumpcloud_modules
RUN PYTHONDONTWRITEBYTECODE= python -m compileall -q main.py jumpcloud_modules

USER connector
ENTRYPOINT ["python", "./main.py"]
