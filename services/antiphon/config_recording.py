"""Settings of recording: whether sessions may be recorded, where recordings go, how long they are kept, and limits."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations

from pydantic import Field, SecretStr, model_validator

from antiphon.config_base import Name, Section

_BUCKET = re.compile(r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$")


class RecordingConfig(Section):
    """Workers record, signaling lets sessions ask for it and gives recordings out: both read this section."""

    enabled: bool = False
    """Whether sessions that ask for it are recorded. None is where it is false."""
    path: Path | None = None
    """Folder to write recordings to. Signaling gives out what is in it where it has the same disk. With `url`, the
    folder in which a worker keeps them until they are uploaded."""
    url: str = ""
    """s3://bucket/prefix to keep recordings in, instead of the folder. It needs the extra `antiphon[s3]`."""
    endpoint: str = Field(default="", pattern=r"^(https?://[^\s/?#@]+)?$")
    """Where another S3-compatible service than Amazon's answers, such as https://minio.example.com:9000."""
    region: str = ""
    """Region of the bucket; the AWS_REGION of the environment where it is empty."""
    access_key_id: SecretStr = SecretStr("")
    """Empty: AWS_ACCESS_KEY_ID, or the role of the machine or pod."""
    secret_access_key: SecretStr = SecretStr("")
    """Empty: AWS_SECRET_ACCESS_KEY, or the role of the machine or pod."""
    link_s: int = Field(default=600, ge=10, le=7 * 24 * 3600)
    """How long the links that signaling signs for a bucket are good for, in seconds."""
    retention_days: float = Field(default=30.0, gt=0, le=36_500)
    """What ended so long ago is deleted."""
    longest_s: float = Field(default=4 * 3600.0, gt=0, le=24 * 3600)
    """A recording ends when it is so long, in seconds; the call goes on."""
    most_bytes: int = Field(default=256 << 20, ge=64 << 10)
    """A recording ends when its two tracks have so many octets together; the call goes on."""
    projects: tuple[Name, ...] = ()
    """Projects whose sessions may be recorded; empty for all of them."""

    @model_validator(mode="after")
    def _has_a_place(self) -> RecordingConfig:
        if self.enabled and self.path is None:
            raise ValueError("recording.enabled needs recording.path: a folder to write recordings to")
        if self.url and not _BUCKET.match(self.url):
            raise ValueError("recording.url must be s3://bucket or s3://bucket/prefix")
        if bool(self.access_key_id.get_secret_value()) != bool(self.secret_access_key.get_secret_value()):
            raise ValueError(
                "recording.access_key_id and recording.secret_access_key belong together: set both or none"
            )
        return self

    def allows(self, project: str) -> bool:
        """Whether a project's sessions may be recorded."""
        return self.enabled and (not self.projects or project in self.projects)
