# The server in a container: docker build -t lakebed . && docker run -p 8000:8000 -v $PWD/data:/data:ro lakebed serve /data/
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --package lakebed && cp target/release/lakebed /lakebed

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 1000 --home-dir /var/lib/lakebed --create-home lakebed
COPY --from=build /lakebed /usr/local/bin/lakebed
USER lakebed
WORKDIR /var/lib/lakebed
# Others can reach this address, so the first start prints a key; LAKEBED_SERVER_INSECURE=true serves without keys.
ENV LAKEBED_SERVER_HTTP=0.0.0.0:8000 LAKEBED_DATA_DIR=/var/lib/lakebed
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
    CMD curl --fail --silent http://127.0.0.1:8000/ready || curl --fail --silent --insecure https://127.0.0.1:8000/ready || exit 1
ENTRYPOINT ["lakebed"]
CMD ["serve"]
