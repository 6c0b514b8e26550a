# The server as an image; docs/docker.md says how to build and run it.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

# What the server needs, without the server: rebuilt only when the list of dependencies changes.
FROM ${PYTHON_IMAGE} AS dependencies
# pip reads both: a mirror, and the index of torch's builds for CPUs. Without them torch comes with CUDA.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/vectorplug
WORKDIR /src
COPY pyproject.toml ./
RUN mkdir -p vectorplug adapters/vectorplug_qdrant \
    && echo '__version__ = "0"' > vectorplug/__init__.py \
    && touch adapters/vectorplug_qdrant/__init__.py README.md LICENSE \
    && /opt/vectorplug/bin/pip install '.[server,demo]' \
    && /opt/vectorplug/bin/pip uninstall --yes vectorplug

FROM dependencies AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY vectorplug vectorplug
COPY adapters adapters
RUN /opt/vectorplug/bin/pip wheel --no-deps --wheel-dir /wheel .

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --home-dir /var/lib/vectorplug --create-home --skel /dev/null vectorplug
COPY --from=dependencies /opt/vectorplug /opt/vectorplug
COPY --from=wheel /wheel /tmp/wheel
RUN /opt/vectorplug/bin/pip install --no-cache-dir --no-index --no-deps /tmp/wheel/*.whl && rm -r /tmp/wheel

# All that is written stands below /var/lib/vectorplug: models from the hub, and the kernels, which are compiled for the
# CPU that runs them and so cannot come with the image.
ENV PATH=/opt/vectorplug/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/var/lib/vectorplug/huggingface \
    NUMBA_CACHE_DIR=/var/lib/vectorplug/numba \
    VECTORPLUG_HOST=0.0.0.0 \
    VECTORPLUG_MODEL=minilm
USER 10001:10001
WORKDIR /var/lib/vectorplug
VOLUME /var/lib/vectorplug
EXPOSE 8090

# Ready, not only alive: what depends on the server starts when texts are answered.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
    CMD ["python", "-I", "-c", "from os import environ; from urllib.request import urlopen; urlopen(f\"http://127.0.0.1:{environ.get('VECTORPLUG_PORT', 8090)}/readyz\", timeout=4)"]

# The server is the container's first process, so that SIGTERM reaches it.
ENTRYPOINT ["vectorplug"]
CMD ["serve"]
