# The gateway's image. Debian and its Python 3.11, which the whole test suite runs on; what
# is from PyPI is pinned with hashes (deploy/locks). The base is named by a tag: pin it by
# digest where you build, --build-arg BASE=debian@sha256:…
ARG BASE=debian:bookworm-slim

# The virtual environment, with nothing in it that only builds.
FROM ${BASE} AS built
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
WORKDIR /src
COPY deploy/locks/image.txt deploy/locks/serve.txt deploy/locks/
RUN python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --no-cache-dir --no-deps --require-hashes \
      --only-binary :all: -r deploy/locks/image.txt
RUN python3 -m venv --without-pip /opt/bff \
 && /opt/tools/bin/pip --python /opt/bff/bin/python install --no-cache-dir --no-deps \
      --require-hashes --only-binary :all: -r deploy/locks/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY graph_proxy graph_proxy
COPY odoo odoo
COPY bff bff
RUN /opt/tools/bin/hatchling build -t wheel -d /dist \
 && /opt/tools/bin/pip --python /opt/bff/bin/python install --no-cache-dir --no-deps \
      --no-index /dist/*.whl \
 && mkdir -p /sbom \
 && /opt/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --of JSON \
      --output-reproducible -o /sbom/nexius-bff.cdx.json /opt/bff/bin/python \
 && /opt/bff/bin/bff --version

FROM ${BASE}
RUN apt-get update \
 && apt-get upgrade --yes \
 && apt-get install --yes --no-install-recommends ca-certificates python3 tzdata \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=built /sbom /usr/share/sbom
COPY --from=built /opt/bff /opt/bff
COPY deploy/image/config.toml /etc/bff/config.toml

ENV PATH=/opt/bff/bin:/usr/bin:/bin \
    BFF_CONFIG=/etc/bff/config.toml \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /
EXPOSE 8080 9090
# Of `bff serve`; its first worker's where there are several. `bff worker` has none.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9090/healthz', timeout=4)"]
ENTRYPOINT ["bff"]
CMD ["serve"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nexius-bff" \
      org.opencontainers.image.description="One origin for a browser UI in front of Keycloak, LangGraph and Odoo" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
