"""Official models from a hub: a local server with the hub's layout stands in for it."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from configs.errors import UsageError, UserError
from model.official import load_official
from storage.models import Models
from tasks.hub import HubFile, fetch
from tasks.pull import BIGVGAN, REPOSITORY, hub_files, pull_model
from tests.official_files import write_bigvgan, write_pretrained

COMMIT = "0123456789" * 4


class Hub(ThreadingHTTPServer):
    """Serves `root/OWNER/NAME/...` as the hub does: HEAD with checksum and commit, GET with ranges.

    `asked` lists (method, path, range); after `allowance` bytes, connections break; what is in
    `damaged` arrives with a wrong first byte.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.asked: list[tuple[str, str, str]] = []
        self.allowance = 10**9
        self.damaged: set[str] = set()
        self.ignores_ranges = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request of the hub."""

    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Quietly."""

    def answer(self) -> None:
        """A file's facts (HEAD), with the file or what is left of it (GET)."""
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.command, self.path, wanted))
        repository, _, name = self.path.partition("/resolve/main/")
        path = self.server.root / repository.lstrip("/") / name.replace("%3D", "=")
        if not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        start = 0
        if wanted and not self.server.ignores_ranges:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{tag(path.name, data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        if name in self.server.damaged:
            data = b"?" + data[1:]
        left = data[start : start + self.server.allowance]
        self.server.allowance -= len(left)
        self.wfile.write(left)
        if len(left) < len(data) - start:
            self.close_connection = True


setattr(Handler, "do_HEAD", Handler.answer)  # noqa: B010 (its name is the library's)
setattr(Handler, "do_GET", Handler.answer)  # noqa: B010


def tag(name: str, data: bytes) -> str:
    """The hub's: sha256 of large files, the git blob's sha1 of text."""
    if name.endswith(".json"):
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the hub has: v2 and v3."""
    root = tmp_path_factory.mktemp("hub")
    write_pretrained(root / REPOSITORY, "v2", encoders=False)
    write_pretrained(root / REPOSITORY, "v3", encoders=False)
    extractor = root / REPOSITORY / "chinese-hubert-base" / "preprocessor_config.json"
    extractor.write_text("{}")
    write_bigvgan(root / BIGVGAN / "bigvgan_generator.pt")
    return root


@pytest.fixture
def hub(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    reach(server.url, monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    # The library waits a second and more between its own attempts.
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def reach(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT sets before the library is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path / "models")


def got(hub: Hub) -> list[str]:
    return [path.partition("/resolve/main/")[2] for method, path, _ in hub.asked if method == "GET"]


def test_a_model_is_downloaded_and_installed(hub: Hub, models: Models, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    pull_model(models, "v2", downloads, None)
    load_official(models.path("v2"))
    assert not downloads.exists()
    hub.asked.clear()
    pull_model(models, "v3", downloads, None)
    load_official(models.path("v3"))
    # HuBERT and RoBERTa are there already.
    assert got(hub) == ["s1v3.ckpt", "s2Gv3.pth", "bigvgan_generator.pt"]


def test_a_stopped_pull_installs_nothing_and_goes_on(
    hub: Hub, models: Models, tmp_path: Path
) -> None:
    downloads = tmp_path / "downloads"
    hub.allowance = 500_000
    with pytest.raises(UserError, match=r"failed: there is no connection .* goes on where it"):
        pull_model(models, "v2", downloads, None)
    assert list(models) == []
    (part,) = downloads.rglob("*.part")
    there = part.stat().st_size
    whole = {path.name for path in downloads.rglob("*") if path.is_file()} - {part.name}
    hub.allowance = 10**9
    hub.asked.clear()
    pull_model(models, "v2", downloads, None)
    load_official(models.path("v2"))
    first = next(item for item in hub.asked if item[0] == "GET")
    assert first[2] == f"bytes={there}-"
    assert not {Path(name).name.replace("%3D", "=") for name in got(hub)} & (
        whole - {"config.json"}
    )


def test_a_server_without_ranges(hub: Hub, tmp_path: Path) -> None:
    file, target = HubFile(REPOSITORY, "s1v3.ckpt"), tmp_path / "s1v3.ckpt"
    hub.allowance = 1000
    with pytest.raises(UserError):
        fetch(file, target)
    hub.allowance, hub.ignores_ranges = 10**9, True
    fetch(file, target)
    assert target.read_bytes() == (hub.root / REPOSITORY / "s1v3.ckpt").read_bytes()


def test_a_damaged_file_is_not_used(hub: Hub, models: Models, tmp_path: Path) -> None:
    name = "gsv-v2final-pretrained/s2G2333k.pth"
    hub.damaged.add(name)
    with pytest.raises(UserError, match="arrived damaged; run the same command again"):
        pull_model(models, "v2", tmp_path / "downloads", None)
    assert list(models) == []
    hub.damaged.clear()
    pull_model(models, "v2", tmp_path / "downloads", None)
    assert list(models) == ["v2"]


def test_a_file_that_the_hub_has_no_more(hub: Hub, models: Models, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The hub has no s2G488k\.pth|no s1bert25hz-2kh"):
        pull_model(models, "v1", tmp_path / "downloads", None)


def test_no_connection(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    reach(f"http://127.0.0.1:{port}", monkeypatch)
    with pytest.raises(UserError, match="no connection to the hub") as refusal:
        pull_model(models, "v2", tmp_path / "downloads", None)
    assert "\n" not in str(refusal.value)
    assert list(models) == []


def test_what_there_is_to_pull(models: Models, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="official models are v1, v2, v2Pro, v2ProPlus, v3, v4"):
        pull_model(models, "ada", tmp_path, None)
    names = {file.name for file in hub_files("v2ProPlus", encoders=True)}
    assert names == {
        "s1v3.ckpt",
        "v2Pro/s2Gv2ProPlus.pth",
        "sv/pretrained_eres2netv2w24s4ep4.ckpt",
        "chinese-hubert-base/config.json",
        "chinese-hubert-base/preprocessor_config.json",
        "chinese-hubert-base/pytorch_model.bin",
        "chinese-roberta-wwm-ext-large/config.json",
        "chinese-roberta-wwm-ext-large/tokenizer.json",
        "chinese-roberta-wwm-ext-large/pytorch_model.bin",
    }
