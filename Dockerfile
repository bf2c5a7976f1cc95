# syntax=docker/dockerfile:1
# The program as a container image. How to run it: compose.yaml, infra/kubernetes/github-metrics.yaml.
#
#   docker build --tag github-metrics .
#   docker run --rm --publish 127.0.0.1:8080:8080 --env GITHUB_METRICS_ADMIN_TOKEN="$(openssl rand -hex 32)" \
#     github-metrics demo --listen 0.0.0.0:8080

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The compiled dependencies stay in the cache mounts, so a second build compiles only what changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release -p gam-cli --features aws,postgres \
    && install -D target/release/github-metrics /out/github-metrics

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="github-metrics" \
      org.opencontainers.image.description="Activity metrics of GitHub organizations: collect, aggregate, serve, show" \
      org.opencontainers.image.licenses="Apache-2.0"
# The program verifies the certificates of GitHub and AWS. The slim image has no root certificates.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN useradd --no-log-init --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin \
        github-metrics \
    && install --directory --owner=10001 --group=10001 --mode=750 /data
COPY --from=build /out/github-metrics /usr/local/bin/github-metrics
# The licence of the font in the program.
COPY shared/notify-ports/fonts/OFL.txt /usr/share/doc/github-metrics/LICENSE-font
# As numbers, so that Kubernetes can check that the user is not root.
USER 10001:10001
# The lake, the store and, if there is one, github-metrics.toml.
WORKDIR /data
ENV GITHUB_METRICS_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
# There is no HEALTHCHECK: the image has no HTTP client. Probe GET /healthz from outside.
ENTRYPOINT ["github-metrics"]
CMD ["--help"]
