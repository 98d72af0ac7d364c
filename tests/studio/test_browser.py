"""The whole journey in headless Chromium with the built-in voice, as a listener makes it.

The book is a hostile one: it has scripts where a book can have them, and markup in its words.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("playwright", reason="needs Playwright (extra dev)")
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.studio.conftest import DEBUG

expect.set_options(timeout=20_000)  # a busy machine must not fail a test

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOUND = """async () => {
  const [audio, context] = [document.getElementById("audio"), new AudioContext()];
  await context.resume();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(audio.captureStream()).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let peak = 0;
  for (let n = 0; n < 40 && peak < 0.01; n++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    analyser.getFloatTimeDomainData(samples);
    peak = Math.max(peak, ...samples.map(Math.abs));
  }
  context.close();
  return peak;
}"""
BAD = '<img src=x onerror="window.hacked=1">'
CHAPTER = """<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title>
<script>window.hacked = 1</script>
<style>body {{ background: url(http://example.com/x.png) }}</style></head>
<body onload="window.hacked=1"><h1>{title}</h1>{body}
<script>window.hacked = 1</script>
<iframe src="javascript:window.hacked=1"></iframe></body></html>"""
FIRST = """<p onclick="window.hacked=1">The tea was hot. <a href="javascript:window.hacked=1">Nobody
spoke</a> for a while.</p><p hx-get="/watch" hx-trigger="load">Then the rain began.</p>"""
SECOND = "<p>She wrote &lt;script&gt;window.hacked=1&lt;/script&gt; and smiled.</p>"


def write_book(path: Path) -> None:
    """A tiny EPUB of two chapters and a page that is not read, with scripts in it."""
    escaped = BAD.replace("<", "&lt;").replace('"', "&quot;")
    pages = {
        "copyright.xhtml": CHAPTER.format(title="Copyright", body="<p>Copyright 2026.</p>"),
        "one.xhtml": CHAPTER.format(title="Tea", body=FIRST),
        "two.xhtml": CHAPTER.format(title=escaped, body=SECOND),
    }
    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(pages)
    )
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(pages)))
    labels = "".join(
        f'<li><a href="{name}">{label}</a></li>'
        for name, label in zip(pages, ("Copyright", "Tea", escaped), strict=True)
    )
    with zipfile.ZipFile(path, "w") as epub:
        epub.writestr("mimetype", "application/epub+zip")
        epub.writestr(
            "META-INF/container.xml",
            '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
            '<rootfiles><rootfile full-path="book.opf" '
            'media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        epub.writestr(
            "book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
            '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f"<dc:identifier id='id'>tea</dc:identifier><dc:title>Tea {escaped}</dc:title>"
            "<dc:language>en</dc:language><dc:creator>A. Guest</dc:creator>"
            '<meta property="dcterms:modified">2026-01-01T00:00:00Z</meta></metadata>'
            f'<manifest><item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" '
            f'properties="nav"/>{items}</manifest><spine>{spine}</spine></package>',
        )
        epub.writestr(
            "nav.xhtml",
            '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
            f'<head><title>x</title></head><body><nav epub:type="toc"><ol>{labels}</ol></nav>'
            "</body></html>",
        )
        for name, text in pages.items():
            epub.writestr(name, text)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("books") / "tea.epub"
    write_book(path)
    return path


BUILT_IN = "import sys; from studio.cli import main; sys.exit(main())"
TINY = f"import sys, studio.jobs; studio.jobs.PROGRAM = (sys.executable, '-c', {DEBUG!r})\n{DEBUG}"


class Server:
    """`voxloom studio` as a process of its own, over a home folder that outlives it."""

    def __init__(self, home: Path, root: Path, code: str) -> None:
        self._code = code
        self.built_in = code == BUILT_IN
        self._environment = os.environ | {"VOXLOOM_HOME": str(home), "PYTHONPATH": str(root)}
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        order = ["studio", "--no-browser", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._code, *order],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"http://localhost:(\d+)/", line):
                self.port = int(found[1])
                return
        raise AssertionError("Studio did not start")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(TINY, id="tiny"),
        pytest.param(BUILT_IN, id="built-in", marks=pytest.mark.slow),
    ],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, root: Path
) -> Iterator[Server]:
    """Studio with the tiny random model, or with the built-in voice."""
    server = Server(tmp_path_factory.mktemp("home"), root, request.param)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome")
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    """A browser that fails the test if anything of the book ran, or asked elsewhere."""
    context = browser.new_context(
        base_url=server.address, locale="en-GB", viewport={"width": 1280, "height": 900}
    )
    faults: list[str] = []
    context.on("request", lambda one: note(one.url) if not ours(one.url) else None)
    context.on("weberror", lambda one: note(str(one.error)))
    context.on("dialog", lambda one: (note(one.message), one.accept()))

    def ours(url: str) -> bool:
        return url.startswith((server.address, "blob:", "data:"))

    def note(what: str) -> None:
        faults.append(what)

    yield context
    for page in context.pages:
        assert page.evaluate("window.hacked") is None
    context.close()
    assert not faults


@pytest.fixture
def page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.set_default_timeout(20_000)
    return page


@pytest.fixture
def finished(server: Server, book: Path, root: Path) -> str:
    """The id of a book that was made: that of the journey, if there was one."""
    with httpx.Client(base_url=server.address, timeout=60) as client:
        client.headers["x-csrf-token"] = client.get("/api/limits").json()["csrf"]
        jobs = client.get("/api/jobs").json()
        if not jobs:
            ids = [
                client.post(
                    "/api/uploads",
                    params={"kind": kind, "name": path.name},
                    content=path.open("rb"),
                ).json()["id"]
                for kind, path in (("book", book), ("voice", root / "demo" / "voice.flac"))
            ]
            voice = {"upload": ids[1], "consent": True}
            order = {"kind": "book", "book": ids[0], "voice": voice}
            jobs = [client.post("/api/jobs", json=order).json()]
        job = jobs[0]
        while job["state"] in ("queued", "running"):
            time.sleep(0.2)
            job = client.get(f"/api/jobs/{job['id']}").json()
        assert job["state"] == "finished", job
        return str(job["id"])


def plays(page: Page, id: str, seconds: float = 60) -> None:
    """Waits until a sound plays."""
    end = time.monotonic() + seconds
    while page.evaluate(f"document.getElementById('{id}').currentTime") < 0.2:
        assert time.monotonic() < end, "nothing plays"
        page.wait_for_timeout(100)


def serious(page: Page) -> list[str]:
    """What axe finds on a page that is serious or worse."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    page.wait_for_timeout(300)  # colours that fade
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_a_listener_makes_hears_mends_and_takes_away_a_book(
    server: Server, page: Page, book: Path, root: Path
) -> None:
    # Make: a book and a voice are dropped, a sentence is heard, the order is given.
    page.goto("/")
    page.set_input_files(
        "#book-file",
        {
            "name": '"><script>window.hacked=1</script>.epub',
            "mimeType": "application/epub+zip",
            "buffer": book.read_bytes(),
        },
    )
    expect(page.locator("#book h3")).to_have_text(f"Tea {BAD}")
    expect(page.locator('[name="chapter"]')).to_have_count(2)
    expect(page.locator("#contents")).to_contain_text("copyright page")
    expect(page.locator("#spoken")).not_to_be_empty()
    page.set_input_files("#voice-file", root / "demo" / "voice.flac")
    page.get_by_label("This voice may be used").check()
    page.fill("#voice-name", "Ada")
    page.click("#keep-voice")
    expect(page.get_by_role("radio", name="Ada")).to_be_checked()
    page.fill("#sentence", "The tea was hot.")
    page.click("#hear")
    plays(page, "preview-audio", 180)
    assert serious(page) == []
    page.get_by_role("checkbox", name="MP3").check()
    page.click("#start")

    # Watch: it pauses and goes on; the server is killed in the middle, and goes on where it was.
    page.wait_for_url("**/watch")
    card = page.locator(".job")
    expect(card.locator("progress").first).to_be_visible()
    assert serious(page) == []
    if server.built_in:  # each start takes seconds
        card.get_by_role("button", name="Pause").click()
        expect(card).to_have_attribute("data-state", "paused", timeout=180_000)
        card.get_by_role("button", name="Go on").click()
        expect(card).to_have_attribute("data-state", "running")
        server.kill()
        expect(page.locator("#cut-off")).to_be_visible()
        server.start()
        expect(page.locator("#cut-off")).to_be_hidden()
    expect(card).to_have_attribute("data-state", "finished", timeout=900_000)

    # Listen: sound is heard, and the words follow it.
    card.get_by_role("link", name="Listen").click()
    expect(page.locator("h1")).to_have_text(f"Tea {BAD}")
    page.get_by_role("button", name="Play", exact=True).click()
    plays(page, "audio")
    assert page.evaluate(SOUND) > 0.01
    seen: set[str] = set()
    end = time.monotonic() + 30
    while len(seen) < 2 and time.monotonic() < end:
        seen |= set(page.locator(".sentence .now").all_inner_texts())
        page.wait_for_timeout(50)
    assert len(seen) > 1
    assert serious(page) == []

    # Mend: a sentence is made again, its other take is chosen, and only that is rebuilt.
    page.locator("#text").get_by_text("Then the rain began.").click()
    line = page.locator("#line")
    expect(line.locator(".takes li")).to_have_count(1, timeout=180_000)
    line.get_by_role("button", name="Make it again").click()
    expect(line.locator(".takes li")).to_have_count(2, timeout=180_000)
    line.get_by_role("button", name="Use take 2").click()
    expect(page.locator("#changes")).to_contain_text("1 change")
    line.get_by_label("Word").fill("tea")
    line.get_by_label("Say it like").fill("tee")
    line.get_by_role("button", name="Remember").click()
    expect(page.locator("#lexicon")).to_contain_text("tee")
    expect(page.locator("#changes")).to_contain_text("2 changes")
    page.get_by_role("button", name="Put into the book").click()
    expect(page.locator("#messages")).to_contain_text("in the book", timeout=400_000)
    expect(page.locator("#changes")).to_be_hidden()
    expect(line.locator(".takes li").nth(1)).to_contain_text("in the book")
    assert serious(page) == []

    # Take away: the files come, with the book's own words in them.
    page.get_by_role("main").get_by_role("link", name="Take away").click()
    assert serious(page) == []
    with page.expect_download() as wait:
        page.get_by_role("link", name=re.compile(r"Download .*\.m4b")).click()
    assert wait.value.path().read_bytes()[4:8] == b"ftyp"
    with page.expect_download() as wait:
        page.get_by_role("link", name=re.compile(r"Download .*\.srt")).click()
    assert "<script>" in wait.value.path().read_text().replace("\n", " ")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Open the report").click()
    expect(popup.value.locator("h1")).to_have_text(f"Tea {BAD}")


def test_the_pages_fit_a_phone_in_the_dark_in_chinese(
    browser: Browser, server: Server, finished: str
) -> None:
    context = browser.new_context(
        base_url=server.address,
        locale="zh-CN",
        color_scheme="dark",
        viewport={"width": 360, "height": 740},
    )
    page = context.new_page()
    for path in ("/", "/watch", f"/listen/{finished}", f"/take/{finished}", "/nothing"):
        page.goto(path)
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert serious(page) == [], path
    context.close()


def test_a_book_is_heard_with_the_keyboard_alone(page: Page, finished: str) -> None:
    page.goto(f"/listen/{finished}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    plays(page, "audio")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    for _ in range(40):
        if page.evaluate("document.activeElement.classList.contains('sentence')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".sentence").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#line blockquote")).to_contain_text("The tea was hot.")
    page.keyboard.press("Escape")
    expect(page.locator("#line")).to_have_count(0)


def test_a_book_is_dropped_and_a_voice_recorded(page: Page, book: Path) -> None:
    page.goto("/")
    data = page.evaluate_handle(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "tea.epub"));
          return data;
        }""",
        list(book.read_bytes()),
    )
    page.dispatch_event("#book-drop", "drop", {"dataTransfer": data})
    expect(page.locator('[name="chapter"]')).to_have_count(2)
    page.get_by_role("button", name="None", exact=True).click()
    page.get_by_role("checkbox", name="Tea", exact=True).check()
    expect(page.locator("#chosen")).to_contain_text("1 chapter,")
    if page.locator("#new-voice").get_attribute("open") is None:
        page.get_by_text("A new voice").click()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(6000)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("radio", name="The new sample")).to_be_checked()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#messages")).to_contain_text("Say first that the voice may be used")
    assert page.url.endswith("/")


def test_what_is_no_book_is_refused_in_a_sentence(page: Page) -> None:
    page.goto("/")
    fake = {"name": "x.epub", "mimeType": "application/epub+zip", "buffer": b"MZ" + bytes(2000)}
    page.set_input_files("#book-file", fake)
    expect(page.locator("#messages p")).not_to_be_empty()
    expect(page.locator("#book")).to_have_count(0)
    expect(page.locator("#book-drop")).to_be_visible()
