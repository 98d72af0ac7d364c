"""A dub on the page: its orders, its timeline and its cast."""

import pytest

from tasks.voices import register_voice
from tests.flows.test_dub import finish, order_for, subtitles, work_on  # noqa: F401  # a fixture


@pytest.fixture
def asked(page, subtitles, sample):  # noqa: F811
    """An order for the small dub."""
    return {
        "kind": "dub",
        "subtitles": page.upload("subtitles", subtitles)["id"],
        "voice": {"upload": page.upload("voice", sample)["id"], "consent": True},
    }


def test_a_dub_is_seen_against_its_cues(page, asked, settings, monkeypatch):
    from model.engine import Engine

    estimate = page.send("POST", "/estimates", asked)
    assert estimate["spoken_seconds"] == 19 and estimate["work_seconds"] > 0
    assert estimate["measured"] is False
    id = page.send("POST", "/jobs", asked, 201)["id"]
    assert page.get(f"/jobs/{id}")["title"] == "film.en"
    page.get(f"/jobs/{id}/listen", 409)
    uploads = page.client.app.state.studio.uploads
    file, voice = (uploads.path(one) for one in (asked["subtitles"], asked["voice"]["upload"]))
    assert file.name == "film.en.srt"  # which tells the language
    out = page.folder(id) / "out"
    finish(work_on(order_for(file, voice, out, settings), Engine.debug()))
    told = page.get(f"/jobs/{id}/dub")
    assert (told["title"], told["language"], told["video"]) == ("film.en", "en", "")
    assert [cue["speaker"] for cue in told["cues"]] == ["ANN", "BEN", "BEN", "ANN", "BEN"]
    assert told["cues"][0]["start"] == 1.0 and told["cues"][0]["end"] == 3.5
    for cue in told["cues"]:
        assert cue["heard_start"] is None or 0 <= cue["heard_start"] < cue["heard_end"]
    sound = page.client.get(told["audio"], headers={"range": "bytes=0-3"})
    assert sound.status_code == 206 and sound.content == b"fLaC"
    assert page.client.get(told["subtitles"]).text.startswith("WEBVTT")
    names = {one["name"] for one in page.get(f"/jobs/{id}/downloads")}
    assert {"dub.flac", "dub.en.srt", "report.html", "stems.zip"} <= names
    assert "cast.yaml" not in names

    # A line that goes over two subtitles is made again; the next run of the job brings it in.
    places = [cue["place"] for cue in told["cues"]]
    assert places == ["1:1", "1:2", "1:2", "1:3", "1:4"]
    assert page.send("PUT", f"/jobs/{id}/lines/1:2/take", {"seed": 1})["changes"] == 1
    assert page.send("PUT", f"/jobs/{id}/lines/1:2/take", {"seed": 1})["changes"] == 1
    page.send("PUT", f"/jobs/{id}/lines/1:9/take", {"seed": 1}, 404)
    page.send("PUT", f"/jobs/{id}/lines/2:1/take", {"seed": 1}, 404)
    seeds = [(cue["made"], cue["seed"]) for cue in page.get(f"/jobs/{id}/dub")["cues"]]
    assert seeds == [(0, 0), (0, 1), (0, 1), (0, 0), (0, 0)]
    finish(work_on(order_for(file, voice, out, settings), Engine.debug()))
    seeds = [(cue["made"], cue["seed"]) for cue in page.get(f"/jobs/{id}/dub")["cues"]]
    assert seeds == [(0, 0), (1, 1), (1, 1), (0, 0), (0, 0)]
    assert page.send("PUT", f"/jobs/{id}/lines/1:2/take", {"seed": 0})["changes"] == 2
    assert not (out / "redone.json").exists()

    register_voice("ada", voice, page.client.app.state.studio.library)
    assert page.get(f"/jobs/{id}/cast") == [
        {"speaker": who, "voice": ""} for who in ("", "BEN", "ANN")
    ]
    page.send("PUT", f"/jobs/{id}/cast", [{"speaker": "ANN", "voice": "/etc/passwd"}], 400)
    job = page.send("PUT", f"/jobs/{id}/cast", [{"speaker": "ANN", "voice": "ada"}])
    assert job["changes"] == 3
    assert {"speaker": "ANN", "voice": "ada"} in page.get(f"/jobs/{id}/cast")
    from tasks.dub_cast import load_dub_cast

    assert load_dub_cast(out / "cast.yaml").voices == {"ANN": "ada"}


def test_voices_of_a_film_need_consent_and_a_film(page, asked):
    del asked["voice"]
    assert "video" in page.send("POST", "/jobs", asked, 400)["detail"]
