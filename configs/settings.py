"""Where things are kept and how hard to work: read from VOXLOOM_* environment variables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from configs.errors import UsageError

PREFIX = "VOXLOOM_"


class Settings(BaseSettings):
    """One field is one environment variable: `VOXLOOM_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_path("voxloom")),
        description="folder of voices, takes, run records and logs; XDG data folder by default",
    )
    store: str = Field(default="", description="store of takes: folder or fsspec URL; home/store")
    queue: SecretStr = Field(
        default=SecretStr(""), description="the pool's queue: postgresql://user:password@host/name"
    )
    pool: str = Field(default="gpus", description="the workers that jobs are for and work is from")
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads; by default all cores, or what voxloom doctor found best",
    )
    precision: Literal["f32", "bf16"] | None = Field(
        default=None,
        description="of S2's arithmetic, in official models of S1's, too; by default bf16 for the "
        "built-in voice where the CPU is faster with it, else f32. Takes made in another precision "
        "count as others",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="what speaks; by default a CUDA device where there is one"
    )
    graphs: bool = Field(
        default=True, description="record steps on a CUDA device as graphs, which is faster"
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        le=512,
        description="utterances in one unit of work; unless it is set, so many for each thread",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    offline: bool = Field(default=True, description="keep libraries from asking a model hub")
    whisper: str = Field(
        default="",
        description="Whisper model that writes down what voice samples say: a folder of "
        "faster-whisper's format, or the name of one that is on this machine; by default any",
    )
    hear_all: bool = Field(
        default=False,
        description="let the Whisper model hear every utterance, not the doubtful ones alone",
    )
    hang_seconds: float = Field(
        default=1800.0,
        gt=0,
        description="seconds without a finished line after which a worker of the pool gives up",
    )
    prefect_timeout: float = Field(
        default=180.0, gt=0, description="seconds that Prefect's embedded API may take to start"
    )

    @property
    def store_url(self) -> str:
        return self.store or str(self.home / "store")

    @property
    def voices(self) -> Path:
        return self.home / "voices"

    @property
    def models(self) -> Path:
        """Official and fine-tuned models, beside the built-in one."""
        return self.home / "models"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def work(self) -> Path:
        """Intermediate files of runs in progress. Only cloning needs them to go on."""
        return self.home / "work"

    @property
    def lexicon(self) -> Path:
        """How the user wants words spoken in all books."""
        return self.home / "lexicon.yaml"

    @property
    def derived(self) -> Path:
        """Files that can be made again from takes: assembled chapters."""
        return self.home / "derived"

    @property
    def log_file(self) -> Path:
        return self.home / "log" / "voxloom.log"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of this process; a wrong or unknown variable is a UsageError that names it."""
    environment = os.environ if environment is None else environment
    names = {name.upper() for name in environment if name.upper().startswith(PREFIX)}
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    if unknown := sorted(names - known):
        raise UsageError(
            f"{unknown[0]} is not a setting; the settings are {', '.join(sorted(known))}"
        )
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{PREFIX}{str(first['loc'][0]).upper()}={first['input']}: {first['msg']}"
        ) from error
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
