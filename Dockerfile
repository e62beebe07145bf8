# One image a process, chosen by --target: kernel, registrar, scheduler, auditor, webhook. Each holds a static binary and the
# authorities that TLS clients trust, and nothing else.
#
# BINARIES says where the binaries come from: `build` compiles them in a stage of this file, `dist` takes what `make dist` left.
ARG BINARIES=build

FROM docker.io/library/rust:1.95.0-bookworm AS build
# The version above is that of rust-toolchain.toml, whose further components are not needed here.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    make dist DIST=/dist

FROM scratch AS dist
ARG DIST=target/dist
COPY ${DIST}/ /dist/

FROM ${BINARIES} AS binaries

FROM scratch AS base
COPY --from=binaries /dist/ca-certificates.crt /etc/ssl/certs/
USER 65534:65534
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.source="https://github.com/randybias/tentacular-mcp" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM base AS kernel
LABEL org.opencontainers.image.title="tentacular-kernel" \
      org.opencontainers.image.description="MCP server: authenticates, authorizes and forwards the calls for tentacles"
COPY --from=binaries /dist/tentacular-kernel /
ENTRYPOINT ["/tentacular-kernel"]

FROM base AS registrar
LABEL org.opencontainers.image.title="tentacular-registrar" \
      org.opencontainers.image.description="Sidecar of the kernel that writes enclaves, tentacles and their backing services"
COPY --from=binaries /dist/tentacular-registrar /
ENTRYPOINT ["/tentacular-registrar"]

FROM base AS scheduler
LABEL org.opencontainers.image.title="tentacular-scheduler" \
      org.opencontainers.image.description="Sidecar of the kernel that runs tentacles on demand and by schedule"
COPY --from=binaries /dist/tentacular-scheduler /
ENTRYPOINT ["/tentacular-scheduler"]

FROM base AS auditor
LABEL org.opencontainers.image.title="tentacular-auditor" \
      org.opencontainers.image.description="Sidecar of the kernel that observes and judges tentacles and the cluster"
COPY --from=binaries /dist/tentacular-auditor /
ENTRYPOINT ["/tentacular-auditor"]

FROM base AS webhook
LABEL org.opencontainers.image.title="tentacular-webhook" \
      org.opencontainers.image.description="Validating admission webhook for enclaves and tentacles"
COPY --from=binaries /dist/tentacular-webhook /
ENTRYPOINT ["/tentacular-webhook"]

# No part of the product: the engine that runs the example tentacles.
FROM base AS example-engine
LABEL org.opencontainers.image.title="tentacular-example-engine" \
      org.opencontainers.image.description="Small tentacle engine for the demo and the tests"
ENV TENTACULAR_ENGINE_LISTEN_ADDR=0.0.0.0:8080
COPY --from=binaries /dist/tentacular-example-engine /usr/local/bin/
ENTRYPOINT ["tentacular-example-engine"]
