"""A dub through the page in headless Chromium: a film and its subtitles become a dubbed film."""

import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs Playwright (extra dev)")
from playwright.sync_api import Browser, Page, expect

from tasks.ffmpeg import ffmpeg_path
from tests.studio.test_browser import (  # noqa: F401  # fixtures
    SOUND,
    Server,
    browser,
    context,
    page,
    plays,
    serious,
    server,
)

SUBTITLES = """1
00:00:00,800 --> 00:00:02,600
ANN: The tea was hot.

2
00:00:03,200 --> 00:00:05,400
BEN: Nobody spoke for a while.

3
00:00:06,000 --> 00:00:08,200
ANN: Then the rain began.

4
00:00:09,000 --> 00:00:11,200
BEN: She closed the window.
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a picture that moves and a quiet tone."""
    path = tmp_path_factory.mktemp("films") / "tea.mp4"
    sources = ["testsrc=size=320x180:rate=10", "sine=frequency=220,volume=0.05"]
    inputs = [argument for source in sources for argument in ("-f", "lavfi", "-i", source)]
    made = ["-t", "12", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    program = [ffmpeg_path(), "-v", "error", *inputs, *made, "-c:a", "aac", str(path)]
    subprocess.run(program, check=True)
    return path


def test_a_film_is_dubbed_heard_and_taken_away(
    server: Server,  # noqa: F811
    browser: Browser,  # noqa: F811
    page: Page,  # noqa: F811
    film: Path,
    root: Path,
) -> None:
    page.goto("/")
    subtitles = {"name": "tea.en.srt", "mimeType": "text/plain", "buffer": SUBTITLES.encode()}
    page.set_input_files("#book-file", subtitles)
    expect(page.locator("#contents")).to_contain_text("BEN")
    page.set_input_files("#video-file", film)
    expect(page.locator("#video-name")).to_contain_text("tea.mp4")
    page.set_input_files("#voice-file", root / "demo" / "voice.flac")
    expect(page.get_by_role("radio", name="The new sample")).to_be_checked()
    page.get_by_label("This voice may be used").check()
    assert serious(page) == []
    page.click("#start")

    page.wait_for_url("**/watch")
    card = page.locator(".job")
    expect(card).to_have_attribute("data-state", "finished", timeout=600_000)
    card.get_by_role("link", name="Listen").click()

    # The dub is heard, the picture goes with it, and the subtitle that is heard is marked.
    expect(page.locator("#cues li")).to_have_count(4)
    page.get_by_role("button", name="Hear it from 0:03").click()
    plays(page, "audio")
    assert page.evaluate(SOUND) > 0.01
    expect(page.locator("#cues li.now")).to_contain_text("Nobody spoke for a while.")
    expect(page.locator("#cues li[aria-current]")).to_have_count(1)
    both = page.evaluate(
        """() => {
          const [audio, video] = ["audio", "video"].map((id) => document.getElementById(id));
          const apart = Math.abs(audio.currentTime - video.currentTime);
          return [video.muted, video.videoWidth, apart, video.textTracks[0].cues.length];
        }"""
    )
    assert both[:2] == [True, 320] and both[2] < 1.0 and both[3] >= 4
    seen = set()
    end = time.monotonic() + 60
    while len(seen) < 2 and time.monotonic() < end:
        seen |= set(page.locator("#cues li.now .book-text").all_inner_texts())
        page.wait_for_timeout(50)
    assert len(seen) == 2
    assert float(page.locator("#now").get_attribute("x1") or 0) > 3
    strip = page.locator("#strip")
    strip.click(position={"x": 10, "y": 10})
    until(page, "document.getElementById('audio').currentTime < 3")
    expect(page.locator("#cues li.now")).to_contain_text("The tea was hot.")
    page.locator("h1").click()
    page.keyboard.press("Space")
    until(page, "document.getElementById('audio').paused")
    until(page, "document.getElementById('video').paused")
    assert serious(page) == []
    phone(browser, server, page.url)

    # Mend: a line is made again, a word gets a pronunciation.
    row = page.locator("#cues li").nth(1)
    row.get_by_role("button", name="Make it again").click()
    expect(row).to_contain_text("take 2, not in the dub yet")
    page.get_by_role("textbox", name="Word").fill("tea")
    page.get_by_role("textbox", name="Say it like").fill("tee")
    page.get_by_role("button", name="Remember").click()
    expect(page.locator("#lexicon")).to_contain_text("tee")
    expect(page.locator("#changes")).to_contain_text("2 changes")
    assert serious(page) == []
    if server.built_in:  # a run takes seconds
        page.get_by_role("button", name="Put into the dub").click()
        expect(page.locator("#changes")).to_contain_text("Bringing the changes in")
        expect(page.locator("#changes")).to_be_hidden(timeout=600_000)
        expect(row).to_contain_text("Take 2")
        row.get_by_role("button", name="Take the first one again").click()
        expect(page.locator("#changes")).to_contain_text("1 change")

    page.get_by_role("main").get_by_role("link", name="Take away").click()
    with page.expect_download() as wait:
        page.get_by_role("link", name="Download tea").click()
    assert wait.value.path().read_bytes()[4:8] == b"ftyp"
    with page.expect_download() as wait:
        page.get_by_role("link", name="Download dub.en.srt").click()
    assert "Nobody spoke for a while." in wait.value.path().read_text()


def until(page: Page, condition: str) -> None:  # noqa: F811
    """Waits for something to be so; Playwright's own way needs what the page's policy forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def phone(browser: Browser, server: Server, address: str) -> None:  # noqa: F811
    """The same page on a phone, in the dark, in Chinese."""
    small = browser.new_context(
        base_url=server.address,
        locale="zh-CN",
        color_scheme="dark",
        viewport={"width": 360, "height": 740},
    )
    page = small.new_page()  # noqa: F811
    page.goto(address)
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert serious(page) == []
    small.close()
