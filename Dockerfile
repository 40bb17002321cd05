# The bridge in a small image. Everything installed is pinned and verified by hash (requirements-dev.txt); the second
# stage gets only what the bridge itself needs: no test tools, no embedded Kafka, no compiler.
FROM python:3.11 AS build
WORKDIR /src
COPY requirements-dev.txt ./
RUN pip download --quiet --require-hashes --dest /wheels --requirement requirements-dev.txt
COPY pyproject.toml hatch_build.py README.md ./
COPY schemas schemas
COPY bridge bridge
RUN python -m venv /opt/syncbridge \
    && /opt/syncbridge/bin/pip install --quiet --no-index --find-links /wheels ".[uvloop]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --user-group --create-home syncbridge
COPY --from=build /opt/syncbridge /opt/syncbridge
ENV PATH=/opt/syncbridge/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SYNCBRIDGE_HTTP__HOST=0.0.0.0
USER syncbridge
WORKDIR /home/syncbridge
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
ENTRYPOINT ["syncbridge"]
CMD ["run"]
