"""The README's examples are true."""

import re
import shlex

import pytest
import typer

from configs.presets import load_presets
from configs.settings import PREFIX, Settings
from studio.cli import app
from tasks.calibration import UTTERANCES_A_THREAD, UTTERANCES_OF_A_GPU


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def blocks(readme: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", readme, re.M | re.S)


def commands(readme: str) -> list[list[str]]:
    lines = "".join(blocks(readme, "sh")).splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in split if words[:1] == ["voxloom"]]


@pytest.mark.parametrize(("page", "fewest"), [("README.md", 10), ("docs/pool.md", 5)])
def test_its_commands_parse(root, page, fewest):
    program = typer.main.get_command(app)
    shown = commands((root / page).read_text(encoding="utf-8"))
    assert len(shown) >= fewest
    for words in shown:
        command, rest = program, words
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        # Parses without running the command; a wrong option or a missing one raises.
        command.make_context(command.name, list(rest))


def test_every_command_is_shown(readme):
    program = typer.main.get_command(app)
    shown = commands(readme)
    for name, command in program.commands.items():
        for sub in getattr(command, "commands", {}):
            assert [name, sub] in [words[:2] for words in shown]
        assert name in [words[0] for words in shown]


def test_its_configuration_loads(readme, tmp_path):
    (example,) = blocks(readme, "yaml")
    (tmp_path / "mine.yaml").write_text(example)
    assert load_presets(tmp_path / "mine.yaml") != load_presets()


def test_the_pools_variables_exist(root):
    page = (root / "docs" / "pool.md").read_text(encoding="utf-8")
    example = (root / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(rf"`{PREFIX}(\w+)`", page))
    own = {name.removeprefix(PREFIX) for name in re.findall(r"^(\w+)=", example, re.M)}
    assert {"QUEUE", "STORE", "POOL"} <= named
    assert named <= {field.upper() for field in Settings.model_fields} | own


def test_its_variables_exist(readme):
    named = set(re.findall(rf"`{PREFIX}(\w+)`", readme))
    assert named
    assert named <= {field.upper() for field in Settings.model_fields}
    shown = f"{UTTERANCES_A_THREAD} for each thread, {UTTERANCES_OF_A_GPU} on a GPU"
    assert f"`VOXLOOM_BATCH_SIZE` | utterances in one unit of work | {shown}" in readme


def test_its_links_lead_somewhere(readme, root):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", readme):
        assert (root / target).exists(), target


def test_its_two_commands_are_targets(readme, root):
    makefile = (root / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", readme, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
    assert "make test" in (root / ".ci" / "run").read_text()
