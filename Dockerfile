# The arbiter as a container image: one static program on an empty file system.
#
#   docker build -t qarbiter .
#   docker buildx build --platform linux/amd64,linux/arm64,linux/arm/v7 -t qarbiter .
#
# The compiler runs on the machine that builds, whichever the image is for. See docs/CONTAINER.md.

# The default is for builders that don't set it: Docker's before version 23.
FROM --platform=${BUILDPLATFORM:-linux/amd64} debian:trixie-slim AS build
ARG TARGETARCH
ARG TARGETVARIANT
# As armhf they would get a program for ARMv7, which ends there with "Illegal instruction".
RUN case "$TARGETARCH$TARGETVARIANT" in \
    armv5 | armv6) echo "there is no program for linux/arm/$TARGETVARIANT, only from linux/arm/v7 on" >&2; exit 1 ;; \
    esac
WORKDIR /build/source
COPY deploy/static/toolchain deploy/static/
RUN deploy/static/toolchain "$(echo "${TARGETARCH:-$(dpkg --print-architecture)}" | sed 's/^arm$/armhf/')"
COPY . .
ARG SOURCE_DATE_EPOCH
# A directory with the crates, where they can't be fetched (see deploy/static/compile).
ARG VENDOR
# The commit, which no file in the image tells.
ARG REVISION=unknown
RUN BUILD_COMMIT=$REVISION CARGO_TARGET_DIR=/build/target deploy/static/compile \
        "$(echo "${TARGETARCH:-$(dpkg --print-architecture)}" | sed 's/^arm$/armhf/')" /image/usr/bin/qarbiter \
    && ln -s qarbiter /image/usr/bin/corosync-qnetd \
    && ln -s qarbiter /image/usr/bin/corosync-qnetd-certutil \
    && ln -s qarbiter /image/usr/bin/corosync-qnetd-tool \
    && mkdir -p /image/usr/share/doc/qarbiter \
    && cp LICENSE-APACHE LICENSE-MIT /image/usr/share/doc/qarbiter/ \
    && mv /image/usr/bin/qarbiter.notices.txt /image/usr/share/doc/qarbiter/THIRD-PARTY-NOTICES \
    && mkdir -p /image/etc /volume/qnetd/nssdb && chmod -R 0750 /volume

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="qarbiter" \
      org.opencontainers.image.description="Vote server for corosync clusters, wire-compatible with corosync-qnetd" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image/ /
# A new volume gets the owner of what is in its place; people who come from other images mount theirs
# at any of the three. The whole is declared as one, so that no empty volume covers keys in it.
COPY --from=build --chown=65532:65532 /volume/ /etc/corosync/
VOLUME /etc/corosync
ENV PATH=/usr/bin \
    container=oci \
    QARBITER_STATE_DIR=/etc/corosync/qnetd/nssdb \
    QARBITER_HTTP_ADDRESS=0.0.0.0:8403
USER 65532:65532
EXPOSE 5403 8403
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/bin/qarbiter", "healthcheck"]
ENTRYPOINT ["/usr/bin/qarbiter"]
CMD ["serve"]
