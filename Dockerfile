FROM python:3.13.5-slim-bookworm

RUN useradd --create-home --uid 1000 voxloom
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY configs configs
COPY flows flows
COPY model model
COPY storage storage
COPY tasks tasks
RUN pip install --no-cache-dir -c constraints.txt .

# Writable for whichever user the container runs as: files in /books belong to the host's user.
RUN install -d -m 1777 /home/voxloom/data
USER voxloom
ENV VOXLOOM_HOME=/home/voxloom/data
VOLUME /home/voxloom/data
WORKDIR /books
ENTRYPOINT ["voxloom"]
CMD ["--help"]
