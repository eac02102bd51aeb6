# One image: the command line and the workers (`anneal worker`), and what runs in a step's pod beside the step (/opt/anneal).
#   docker build -t anneal .                          the image; `kubernetes.image` of anneal.yaml, and the workers' in k8s/
#   docker build --target example -t anneal-churn .   with the churn example and Python: what docker-compose.yml runs
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
COPY packages packages
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig*.json ./
COPY scripts scripts
COPY src src
RUN npm run build

FROM ${NODE_IMAGE} AS production
WORKDIR /src
COPY package.json package-lock.json ./
COPY packages packages
# Temporal's core comes for five systems; one of them is this.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
    && find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 ! -name "$(uname -m)-unknown-linux-gnu" -exec rm -rf {} +

FROM ${NODE_IMAGE} AS busybox
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static

FROM ${NODE_IMAGE} AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 anneal && useradd --uid 65532 --gid 65532 --create-home anneal
WORKDIR /app
COPY --from=production /src/node_modules node_modules
COPY --from=build /src/packages packages
COPY --from=build /src/package.json package.json
COPY --from=build /src/dist dist
COPY python python
# The layout that src/core/pod-layout.ts and src/adapters/kubernetes/labels.ts name.
COPY --from=build /src/dist/pod /opt/anneal
COPY --from=busybox /bin/busybox /opt/anneal/busybox
RUN ln -s /app/dist/cli/main.js /usr/local/bin/anneal && chmod +x /app/dist/cli/main.js && mkdir /project && chown anneal:anneal /project
ENV NODE_ENV=production
USER 65532:65532
WORKDIR /project
CMD ["anneal", "worker"]

FROM runtime AS example
USER root
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
COPY --chown=65532:65532 anneal.yaml ./
COPY --chown=65532:65532 examples/churn examples/churn
USER 65532:65532
# Volumes take their owner from these.
RUN mkdir -p .anneal /home/anneal/.cache

FROM runtime AS anneal
