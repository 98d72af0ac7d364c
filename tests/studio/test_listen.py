"""Listening and mending: what the command line has made, in the words of the page."""

import io
import json
import zipfile
from dataclasses import replace

import pytest
import soundfile

from configs.presets import load_presets, output_options
from configs.settings import Settings
from flows.orders import Order
from storage.runs import Runs
from tasks.line_edits import LineEdit, edited, load_edits, save_edits
from tasks.redone import load_redone
from tasks.voices import AskedVoice, register_voice
from tests.flows.conftest import write_epub, write_sample
from tests.flows.test_rebuild import deliver, speak
from tests.studio.conftest import STUB_PROGRAM, open_page, page_of

SHORT = """# One

The lamp stood by the mill that night.

Nobody came to the house on the hill.

It rained until the morning.

# Two

They went on their way.
"""


def make(page, settings, id: str, voice, formats: str = "") -> Order:
    """Makes a job's book as the command line does, without Prefect; without `formats` its chapters
    alone."""
    uploads = page.client.app.state.studio.uploads
    job = page.get(f"/jobs/{id}")
    out = page.folder(id) / "out"
    cast = out / "cast.yaml"
    order = Order(
        uploads.path(job["order"]["book"]),
        AskedVoice((str(uploads.path(voice)),)),
        out,
        "",
        "",
        0,
        load_presets(output=output_options(formats, "", "", None)),
        settings,
        cast=cast if cast.exists() else None,
    )
    deliver(order) if formats else speak(order)
    return order


def finished(page, settings, order, formats: str = "") -> str:
    """The id of a job that has been made."""
    id = page.send("POST", "/jobs", order, 201)["id"]
    page.wait(id, "running")
    (page.folder(id) / "go").touch()
    page.wait(id, "finished")
    make(page, settings, id, order["voice"]["upload"], formats)
    return id


@pytest.fixture
def made(page, settings, order, tmp_path):
    """A short book whose chapters have been spoken; for tests that change it."""
    (tmp_path / "short.md").write_text(SHORT)
    order["book"] = page.upload("book", tmp_path / "short.md")["id"]
    return finished(page, settings, order)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """A page and a book that was delivered, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("heard")
    settings = Settings(home=folder / "home", threads=1)
    with pytest.MonkeyPatch.context() as patch, open_page(settings, STUB_PROGRAM) as client:
        patch.setattr("tasks.render.ATTEMPTS", 1)
        page = page_of(client, settings)
        order = {
            "kind": "book",
            "book": page.upload("book", write_epub(folder / "small.epub"))["id"],
            "voice": {
                "upload": page.upload("voice", write_sample(folder / "sample.wav"))["id"],
                "consent": True,
            },
        }
        yield page, finished(page, settings, order, "m4b,mp3,vtt,epub")


def lines(page, id: str, number: int = 1) -> list[dict]:
    return page.get(f"/jobs/{id}/chapters/{number}")["lines"]


def test_a_book_is_listened_to_word_by_word(heard):
    page, made = heard
    told = page.get(f"/jobs/{made}/listen")
    assert (told["title"], told["authors"], told["language"]) == (
        "A Small / Book",
        ["Ann Author"],
        "en",
    )
    first, second = told["chapters"]
    assert (first["number"], first["title"], first["start"]) == (1, "Chapter 1", 0)
    assert second["start"] == pytest.approx(first["seconds"], abs=0.002)
    assert told["seconds"] == pytest.approx(first["seconds"] + second["seconds"], abs=0.002)
    chapter = lines(page, made)
    assert [line["place"] for line in chapter] == [f"1:{n}" for n in range(1, len(chapter) + 1)]
    assert "The rain had stopped before anyone noticed in part 1." in [
        line["text"] for line in chapter
    ]
    last = 0.0
    for line in chapter:
        assert last <= line["start"] <= line["end"] <= first["seconds"]
        last = line["end"]
        words = line["words"]
        shown = [line["text"][word["first"] : word["last"]] for word in words]
        assert "".join("".join(shown).split()) == "".join(line["text"].split())
        assert all(
            line["start"] - 0.001 <= word["start"] <= word["end"] <= line["end"] + 0.001
            for word in words
        )
        assert [word["start"] for word in words] == sorted(word["start"] for word in words)


def test_suspects_are_those_of_the_report(heard):
    page, made = heard
    report = json.loads((page.folder(made) / "out" / "report.json").read_text())
    told = page.get(f"/jobs/{made}/listen")
    assert report["incomplete_takes"]  # the tiny model's noise is always suspect
    assert [
        (one["place"], one["text"], one["reason"], one["start"]) for one in told["suspects"]
    ] == [
        (
            f"{one['chapter'] + 1}:{one['index'] + 1}",
            one["text"],
            one["reason"],
            one["start_seconds"],
        )
        for one in report["incomplete_takes"]
    ]
    assert sum(chapter["suspects"] for chapter in told["chapters"]) == len(told["suspects"])
    reasons = {line["place"]: line["reason"] for n in (1, 2) for line in lines(page, made, n)}
    assert all(reasons[one["place"]] == one["reason"] for one in told["suspects"])


def test_lines_that_could_not_be_spoken_are_suspects(page, made):
    report = page.folder(made) / "out" / "report.json"
    report.parent.mkdir(exist_ok=True)
    line = lines(page, made)[3]
    one = {"chapter": 0, "index": 3, "text": line["text"], "reason": "not spoken, RuntimeError"}
    for listed in ([one | {"start_seconds": 1e6}], [{"chapter": 0}], "damaged"):
        report.write_text(json.dumps({"incomplete_takes": listed}))
        told = page.get(f"/jobs/{made}/listen")["suspects"]
        assert len({one["place"] for one in told}) == len(told)
    known = {one["place"] for one in told}
    report.write_text(json.dumps({"incomplete_takes": [one | {"index": 99, "start_seconds": 1e6}]}))
    told = page.get(f"/jobs/{made}/listen")["suspects"]
    assert told[-1] == {
        "place": "1:100",
        "text": line["text"],
        "start": 1e6,
        "reason": "not spoken, RuntimeError",
    }
    assert {one["place"] for one in told[:-1]} == known


def test_sound_is_served_in_parts(heard):
    page, made = heard
    chapter = page.get(f"/jobs/{made}/listen")["chapters"][0]
    whole = page.client.get(chapter["audio"])
    assert whole.headers["content-type"] == "audio/flac"
    audio, rate = soundfile.read(io.BytesIO(whole.content))
    assert len(audio) / rate == pytest.approx(chapter["seconds"], abs=0.001)
    part = page.client.get(chapter["audio"], headers={"range": "bytes=100-299"})
    assert part.status_code == 206 and part.content == whole.content[100:300]
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    late = page.client.get(chapter["audio"], headers={"range": f"bytes={10**9}-"})
    assert late.status_code == 416
    page.get(f"/jobs/{made}/chapters/9/audio", 404)


def test_a_take_is_made_heard_and_chosen(page, made, settings, order):
    place = lines(page, made)[1]["place"]
    before = page.get(f"/jobs/{made}/lines/{place}/takes")
    assert [(take["seed"], take["chosen"]) for take in before["takes"]] == [(0, True)]
    after = page.send("POST", f"/jobs/{made}/lines/{place}/takes", status=201)
    assert [(take["seed"], take["chosen"]) for take in after["takes"]] == [(0, True), (1, False)]
    sounds = [page.client.get(take["audio"]).content for take in after["takes"]]
    assert sounds[0] != sounds[1]
    assert all(soundfile.info(io.BytesIO(sound)).frames for sound in sounds)
    page.get(f"/jobs/{made}/lines/{place}/takes/7/audio", 404)
    page.send("PUT", f"/jobs/{made}/lines/{place}/take", {"seed": 99}, 404)

    job = page.send("PUT", f"/jobs/{made}/lines/{place}/take", {"seed": 1})
    assert job["changes"] == 1
    page.send("PUT", f"/jobs/{made}/lines/{place}/take", {"seed": 1})
    assert page.get(f"/jobs/{made}")["changes"] == 1  # nothing new
    (choice,) = load_redone(page.folder(made) / "out")
    assert choice.seed == 1 and choice.text == before["text"]

    old = {line["place"]: line for line in lines(page, made)}
    make(page, settings, made, order["voice"]["upload"])  # which takes the choice up
    new = {line["place"]: line for line in lines(page, made)}
    assert [p for p in new if new[p]["redone"]] == [place]
    assert new.keys() == old.keys()
    now = page.get(f"/jobs/{made}/lines/{place}/takes")["takes"]
    assert [(take["seed"], take["chosen"]) for take in now] == [(0, False), (1, True)]
    run = next(iter(Runs(settings.runs)))
    assert sum(line.redone for line in run.lines) == 1

    page.send("PUT", f"/jobs/{made}/lines/{place}/take", {"seed": 0})  # back to the first
    assert load_redone(page.folder(made) / "out") == []


def test_the_same_words_twice_are_two_lines(page, settings, order, tmp_path):
    """Only the one that is chosen changes, whichever of them it is, though one chapter is planned
    alone."""
    book = tmp_path / "twice.txt"
    said = "Nobody came to the house on the hill that day."
    book.write_text(f"# One\n\nIt rained.\n\n{said}\n\n# Two\n\n{said}\n\nIt snowed.\n\n{said}\n")
    order["book"] = page.upload("book", book, "twice.md")["id"]
    id = page.send("POST", "/jobs", order, 201)["id"]
    page.wait(id, "running")
    (page.folder(id) / "go").touch()
    page.wait(id, "finished")
    make(page, settings, id, order["voice"]["upload"])
    places = [line["place"] for n in (1, 2) for line in lines(page, id, n) if said in line["text"]]
    assert len(places) == 3
    for place in (places[2], places[1]):
        page.send("POST", f"/jobs/{id}/lines/{place}/takes", status=201)
        page.send("PUT", f"/jobs/{id}/lines/{place}/take", {"seed": 1})
        make(page, settings, id, order["voice"]["upload"])
        redone = [line["place"] for n in (1, 2) for line in lines(page, id, n) if line["redone"]]
        assert redone == [one for one in places if one in (place, places[2])]


def test_speaker_and_pause_of_a_line(page, made, settings, order, sample):
    register_voice("ada", sample, page.client.app.state.studio.library)
    assert page.get(f"/jobs/{made}/listen")["voices"] == ["ada"]
    line = lines(page, made)[2]
    url = f"/jobs/{made}/lines/{line['place']}"
    page.send("PATCH", url, {"speaker": "nobody"}, 400)
    page.send("PATCH", url, {"pause_after": 11}, 422)
    page.send("PATCH", f"/jobs/{made}/lines/1:999", {"pause_after": 1}, 404)
    job = page.send("PATCH", url, {"speaker": "ada", "pause_after": 3.5})
    assert job["changes"] == 1
    make(page, settings, made, order["voice"]["upload"])
    new = lines(page, made)
    changed = new[2]
    assert (changed["speaker"], changed["pause_after"]) == ("ada", 3.5)
    assert new[3]["start"] - changed["end"] == pytest.approx(3.5, abs=0.01)
    assert all(one["speaker"] == "" for one in new if one is not changed)
    page.send("PATCH", url, {"reset": True})
    assert load_edits(page.folder(made) / "out") == []


def test_words_of_this_book(page, made):
    url = f"/jobs/{made}/lexicon"
    assert page.get(url) == []
    page.send("PUT", url, {"word": "lamp", "say": "!!!"}, 400)
    page.send("PUT", url, {"word": "lamp", "phones": "XX"}, 400)
    page.send("PUT", url, {"word": "lamp", "say": "LAHMP"})
    page.send("PUT", url, {"word": "mill", "phones": "M IH1 L"})
    assert [(one["word"], one["say"], one["phones"]) for one in page.get(url)] == [
        ("lamp", "LAHMP", ""),
        ("mill", "", "M IH1 L"),
    ]
    # The text is still shown with its words, though its sounds are not those that were spoken.
    heard = [line for line in lines(page, made) if line["end"] > line["start"]]
    assert heard and all(line["words"] for line in heard)
    assert page.send("POST", f"{url}/remove", {"word": "lamp"})["changes"] == 3
    page.send("POST", f"{url}/remove", {"word": "lamp"}, 400)
    assert [one["word"] for one in page.get(url)] == ["mill"]


def test_the_cast_of_a_book(page, settings, order, sample, tmp_path):
    book = tmp_path / "talk.txt"
    talk = "“Good morning,” said Alice.\n\n“It rains,” said Alice.\n\n“Come in,” said the King.\n"
    book.write_text(talk)
    order["book"] = page.upload("book", book)["id"]
    id = page.send("POST", "/jobs", order, 201)["id"]
    register_voice("ada", sample, page.client.app.state.studio.library)
    members = page.get(f"/jobs/{id}/cast")
    assert {"speaker": "Alice", "voice": ""} in members
    wrong = [{"speaker": "Alice", "voice": "/etc/passwd"}]
    page.send("PUT", f"/jobs/{id}/cast", wrong, 400)
    page.send("PUT", f"/jobs/{id}/cast", [{"speaker": "Alice", "voice": "ada"}])
    assert {"speaker": "Alice", "voice": "ada"} in page.get(f"/jobs/{id}/cast")
    make(page, settings, id, order["voice"]["upload"])
    said = {line["text"]: line["speaker"] for line in lines(page, id)}
    assert said["“Good morning,”"] == "Alice" and said["“Come in,” said the King."] == ""
    assert page.get(f"/jobs/{id}/listen")["voices"] == ["Alice", "ada"]


def test_everything_can_be_taken_away(heard):
    page, id = heard
    (page.folder(id) / "out" / "lexicon.yaml").write_text("Weena: WEE-nah\n")
    found = {one["name"]: one for one in page.get(f"/jobs/{id}/downloads")}
    stem = "A Small Book"
    assert found.keys() == {
        f"{stem}.m4b",
        f"{stem}.vtt",
        f"{stem}.epub",
        "mp3.zip",
        "report.html",
        "report.json",
    }
    out = page.folder(id) / "out"
    for name, one in found.items():
        answer = page.client.get(one["url"])
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        if not name.endswith(".zip"):
            assert answer.content == (out / name).read_bytes()
            assert one["bytes"] == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(page.client.get(found["mp3.zip"]["url"]).content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.relative_to(out).as_posix(): path.read_bytes() for path in (out / "mp3").iterdir()
        }
    shown = page.client.get(found["report.html"]["url"] + "?inline=true")
    assert shown.headers["content-disposition"].startswith("attachment")  # it is no page of ours
    played = page.client.get(
        found[f"{stem}.m4b"]["url"] + "?inline=true", headers={"range": "bytes=0-9"}
    )
    assert played.status_code == 206
    assert played.headers["content-disposition"].startswith("inline")
    report = page.client.get(f"/api/jobs/{id}/report")
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    for name in ("lexicon.yaml", "..%2fjob.json", "%2e%2e%2fjob.json", "job.json", "mp3"):
        assert page.client.get(f"/api/jobs/{id}/downloads/{name}").status_code == 404


def test_nothing_is_heard_before_it_is_begun(page, order):
    id = page.send("POST", "/jobs", order, 201)["id"]
    assert "yet" in page.get(f"/jobs/{id}/listen", 409)["detail"]
    page.get(f"/jobs/{id}/dub", 409)
    page.get(f"/jobs/{id}/report", 404)
    assert page.get(f"/jobs/{id}/downloads") == []
    page.get("/jobs/none/listen", 404)


def test_edits_are_of_their_text_alone(tmp_path):
    from tasks.plan import Utterance

    line = Utterance(2, 5, "It rained.", (), "en", 0.3, "paragraph", block=3, start=10)
    edit = LineEdit(2, 3, 10, "It rained.", pause_after=1.5)
    save_edits(tmp_path, [edit])
    assert load_edits(tmp_path) == [edit]
    other = replace(line, text="It snowed.")
    assert edited([line, other], [edit]) == [replace(line, pause_after=1.5), other]
    save_edits(tmp_path, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    ["[", "{}x", "[1]", '[{"chapter": 1}]', json.dumps([{"chapter": 0, "block": 0, "start": "0"}])]
    + [
        json.dumps([{"chapter": 0, "block": 0, "start": 0, "text": "t"} | more])
        for more in ({"pause_after": -1}, {"pause_after": "1"}, {"speaker": 3}, {"path": "/etc"})
    ],
)
def test_a_damaged_file_of_edits_is_told(tmp_path, content):
    from configs.errors import UserError

    (tmp_path / "edits.json").write_text(content)
    with pytest.raises(UserError, match=r"edits\.json"):
        load_edits(tmp_path)
