# One image for every Voxloom and Prefect process of a pool, in two sizes:
#   docker build --target cpu  -t voxloom:0.1.0-cpu .
#   docker build --target cuda -t voxloom:0.1.0-cuda .
# PyTorch's ordinary wheels bring CUDA's libraries along, so that the cuda image needs no other base;
# the driver comes from the host through NVIDIA's container runtime.

FROM python:3.13.5-slim-bookworm AS base
RUN useradd --create-home --uid 1000 voxloom \
    # Writable for whichever user the container runs as: files in /books belong to the host's user.
    && install -d -m 1777 /home/voxloom/data \
    && pip install --no-cache-dir uv==0.13.9
ENV UV_SYSTEM_PYTHON=1 UV_NO_CACHE=1 \
    DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    HOME=/home/voxloom VOXLOOM_HOME=/home/voxloom/data
COPY constraints.txt /app/
WORKDIR /books
ENTRYPOINT ["voxloom"]
CMD ["--help"]

FROM base AS wheel
COPY pyproject.toml README.md LICENSE /app/
COPY configs /app/configs
COPY flows /app/flows
COPY model /app/model
COPY storage /app/storage
COPY tasks /app/tasks
RUN uv build --wheel --out-dir /wheels /app

# PyTorch is in a layer of its own: it is most of an image and changes least.
FROM base AS cpu
RUN uv pip install --torch-backend=cpu torch==2.11.0 torchaudio==2.11.0
COPY --from=wheel /wheels /wheels
RUN uv pip install -c /app/constraints.txt "$(echo /wheels/*.whl)[pool]"
USER voxloom
VOLUME /home/voxloom/data

FROM base AS cuda
RUN uv pip install -c /app/constraints.txt torch==2.11.0 torchaudio==2.11.0
COPY --from=wheel /wheels /wheels
RUN uv pip install -c /app/constraints.txt "$(echo /wheels/*.whl)[pool]"
USER voxloom
VOLUME /home/voxloom/data
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
