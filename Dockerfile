# Two images: "engine" (the engine and its scripts) and "tools" (the same with PostgreSQL 15 and pgBackRest, for the
# database, backups and their verification).
#
#   docker build --target engine -t chainwatch/engine:0.1.0 .
#   docker build --target tools  -t chainwatch/tools:0.1.0 .
FROM debian:12.8-slim AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		gcc libc6-dev make pkg-config libluajit2-5.1-dev libevent-dev libpq-dev libsodium-dev libssl-dev libseccomp-dev \
		libcurl4-openssl-dev libcrypt-dev librdkafka-dev zlib1g-dev libyaml-dev \
	&& rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile ./
COPY engine engine
COPY scripts scripts
COPY rules rules
COPY migrations migrations
COPY conf conf
RUN make -j"$(nproc)" all && make install DESTDIR=/out

FROM debian:12.8-slim AS engine
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		libluajit2-5.1-2 lua-cjson libevent-2.1-7 libevent-openssl-2.1-7 libpq5 libsodium23 libssl3 libseccomp2 libcurl4 \
		librdkafka1 zlib1g libyaml-0-2 ca-certificates \
	&& rm -rf /var/lib/apt/lists/* \
	&& groupadd --gid 10001 chainwatch \
	&& useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/chainwatch --shell /usr/sbin/nologin chainwatch \
	&& install -d -o 10001 -g 10001 /var/lib/chainwatch
COPY --from=build /out/ /
USER 10001:10001
ENV CHAINWATCH_CONFIG=/etc/chainwatch/chainwatch.lua \
	CHAINWATCH_LISTEN=0.0.0.0:8080
VOLUME /var/lib/chainwatch
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["chainwatch", "serve"]

FROM engine AS tools
USER root
RUN mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf \
	&& apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-15 pgbackrest \
	&& rm -rf /var/lib/apt/lists/* \
	&& rm -f /etc/pgbackrest.conf && install -d -o 10001 -g 10001 /var/run/postgresql
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin
USER 10001:10001
