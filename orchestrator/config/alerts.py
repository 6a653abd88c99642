"""The section `alerts` of orchestrator.yaml: through which channels persons are told, and from where links lead."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from orchestrator.config.load import Section, Wrong, reject
from orchestrator.config.secret import SecretFile, read_secret
from orchestrator.config.shared import Name

Kind = Literal["webhook", "pagerduty", "slack", "alertmanager", "exec"]
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
# What each kind needs, and what it may have beside name, kind, severity and timeout_s.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "webhook": ("url",),
    "pagerduty": ("routing_key_file",),
    "slack": ("url_file",),
    "alertmanager": ("url",),
    "exec": ("command",),
}
MAY: Mapping[str, tuple[str, ...]] = {"webhook": ("secret_file", "events"), "pagerduty": ("url",), "exec": ("events",)}
OWN_KEYS = ("url", "url_file", "secret_file", "routing_key_file", "command", "events")
SECRET_IN_PATH = ("pagerduty", "slack")  # whose messages carry the secret


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def wrong_url(text: str, *, secret: bool) -> Wrong | None:
    """What is wrong with a receiver's address; `secret`: what is sent there must not cross a network in clear."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError as error:
        return Wrong(f"{text!r} is no URL: {error}", "for example https://alerts.example.com/kembar")
    if url.scheme not in ("http", "https") or not host:
        return Wrong(f"{text!r} is no http or https URL", "for example https://alerts.example.com/kembar")
    if url.username or url.password:
        return Wrong(f"a password stands in the URL of {host}", "put what is secret into a file of its own")
    if secret and url.scheme == "http" and not _loopback(host):
        return Wrong(f"{text!r} would send the key in clear", "use https")
    return None


def _url(text: str) -> str:
    if wrong := wrong_url(text, secret=False):
        reject(wrong)
    return text


def _page(text: str) -> str:
    return _url(text).rstrip("/")


class Channel(Section):
    """One receiver. Which keys it has depends on its kind."""

    name: Name = Field(description="the channel's own name, for example ops")
    kind: Kind = Field(description="webhook, pagerduty, slack, alertmanager or exec")
    severity: Literal["info", "warning", "critical"] = Field(default="warning", description="the least that is sent")
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=60)] = Field(default=10.0, description="of one attempt")
    url: Annotated[str, AfterValidator(_url)] | None = Field(default=None, description="where messages are posted")
    url_file: SecretFile | None = Field(default=None, description="a file with the URL, which is a secret")
    secret_file: SecretFile | None = Field(default=None, description="a file with the key that messages are signed by")
    routing_key_file: SecretFile | None = Field(default=None, description="a file with the integration key")
    command: list[str] | None = Field(default=None, min_length=1, description="a program by its path, and arguments")
    events: bool | None = Field(default=None, strict=True, description="also events that open no alert")

    @field_validator("command")
    @classmethod
    def _program(cls, command: list[str] | None) -> list[str] | None:
        wrongs = (*_unfit(command or []), *(_wrong_program(Path(command[0])) if command else ()))
        if wrongs:
            reject(*wrongs)
        return command

    @field_validator("url_file")
    @classmethod
    def _url_in_file(cls, path: Path | None) -> Path | None:
        if path is not None and wrong_url(read_secret(path), secret=True):
            reject(Wrong(f"{path} holds no https URL", "put the URL alone into this file"))
        return path

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Self:
        needs, may = NEEDS[self.kind], MAY.get(self.kind, ())
        wrongs = [Wrong(f"{key} is required for kind {self.kind}") for key in needs if getattr(self, key) is None]
        for key in OWN_KEYS:
            if getattr(self, key) is not None and key not in (*needs, *may):
                hint = f"it has {', '.join((*needs, *may))}"
                wrongs.append(Wrong(f"a channel of kind {self.kind} has no {key}", hint, (key,)))
        if self.url and self.kind in SECRET_IN_PATH and (wrong := wrong_url(self.url, secret=True)):
            wrongs.append(Wrong(wrong.message, wrong.hint, ("url",)))
        if wrongs:
            reject(*wrongs)
        return self


def _unfit(command: Sequence[str]) -> Iterator[Wrong]:
    """No program can be given one; one in the path itself is no file's name either."""
    for number, word in enumerate(command):
        if "\0" in word:
            yield Wrong("a NUL byte is in it", "write it without", (number,))


def _wrong_program(path: Path) -> Iterator[Wrong]:
    """Whoever could write it would act with our rights."""
    if not path.is_absolute():
        yield Wrong(f"{path} is not an absolute path", "a daemon has no search path of its own", (0,))
        return
    try:
        found = path.stat()
    except ValueError:  # of a NUL byte, which is named already
        return
    except OSError as error:
        yield Wrong(f"{path}: {error.strerror}", "name a program that is there", (0,))
        return
    if not stat.S_ISREG(found.st_mode) or not os.access(path, os.X_OK):
        yield Wrong(f"{path} is no program that may be run here", f"chmod 755 {path}", (0,))
    if found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        yield Wrong(f"{path} has mode {mode:04o}: others can change it", f"chmod go-w {path}", (0,))


class Alerts(Section):
    """The whole section; without channels nobody is told of anything."""

    page: Annotated[str, AfterValidator(_page)] | None = Field(
        default=None, description="where persons reach the page, for the links in messages"
    )
    channels: list[Channel] = Field(default=[], description="each with name, kind and the keys of its kind")

    @field_validator("channels")
    @classmethod
    def _distinct(cls, channels: list[Channel]) -> list[Channel]:
        names = [one.name for one in channels]
        wrongs = [Wrong(f"{n!r} is listed twice", at=(i, "name")) for i, n in enumerate(names) if n in names[:i]]
        if wrongs:
            reject(*wrongs)
        return channels
