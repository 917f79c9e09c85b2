# The program alone, started as a user without rights. The files of the last stage are laid out by `make rootfs`, which
# `make image-test` uses too.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN make build VERSION="$VERSION" \
 && install -D bin/sidekong /dist/rootfs/usr/local/bin/sidekong \
 && make rootfs DESTDIR=/dist/rootfs

FROM scratch
COPY --from=build /dist/rootfs /
LABEL org.opencontainers.image.title="sidekong" \
      org.opencontainers.image.description="Reads Kong's configuration, proxies, and reports each request as Kong-style OpenTelemetry spans" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/usr/local/bin \
    KONG_PREFIX=/usr/local/kong
# By number, so that Kubernetes can tell that it is not root; /etc/passwd calls it kong, as Kong's image does.
USER 1000:1000
WORKDIR /usr/local/kong
EXPOSE 8000 8443 8001 8002 8007
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["sidekong", "health"]
ENTRYPOINT ["sidekong"]
CMD ["run"]
