"""What the load test asks for beside locust's own options."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loadtest.load.curves import CURVES
from loadtest.load.personas import DEFAULT_MIX, mix_of

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser

RESULTS_ENV = "ANTIPHON_LOAD_RESULTS"


class Choice(NamedTuple):
    """The options, checked."""

    agent: str
    offer_path: str
    mix: dict[str, int]
    shape: str
    call_s: float
    canaries: int
    threads: int
    token: str
    outage_region: str
    refuge_region: str
    results: Path | None

    @property
    def echoes(self) -> bool:
        """Whether frames come back as they are: then they are timed, and turns are not."""
        return self.agent == "echo"


def add_options(parser: LocustArgumentParser) -> None:
    """Adds them to locust's."""
    group = parser.add_argument_group("Antiphon", "Voice callers; see docs/load-testing.md")
    group.add_argument("--agent", default="echo", help="agent to call; echo sends each frame back, others take turns")
    group.add_argument(
        "--offer-path",
        default="",
        help="where SDP offers are posted to on the host; /v1/sessions?agent=... when not said, / for a plain echo",
    )
    parser.add_argument(
        "--mix", type=_checked_mix, default=DEFAULT_MIX, include_in_web_ui=False, help="personas and their weights"
    )
    parser.add_argument(
        "--shape",
        choices=["none", *CURVES],
        default="none",
        include_in_web_ui=False,
        help="how many callers there are when",
    )
    group.add_argument("--call-seconds", type=float, default=0.0, help="how long a call is; 0: as long as the test")
    parser.add_argument(
        "--canaries", type=int, default=0, include_in_web_ui=False, help="callers on aiortc beside the native ones"
    )
    group.add_argument("--caller-threads", type=int, default=1, help="threads of each process that carry calls")
    parser.add_argument(
        "--token",
        default=os.environ.get("ANTIPHON_TOKEN", ""),
        is_secret=True,
        include_in_web_ui=False,
        help="API key as <id>.<secret>, or a session token; ANTIPHON_TOKEN",
    )
    group.add_argument("--outage-region", default="frankfurt", help="which region --shape outage loses")
    group.add_argument("--refuge-region", default="", help="which region its callers ask for then")
    group.add_argument("--load-results", default=os.environ.get(RESULTS_ENV, ""), help="JSON file to write at the end")


def _checked_mix(text: str) -> str:
    try:
        mix_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def choice_of(options: argparse.Namespace) -> Choice:
    """What was chosen."""
    return Choice(
        agent=options.agent,
        offer_path=options.offer_path or f"/v1/sessions?agent={options.agent}",
        mix=mix_of(options.mix),
        shape=options.shape,
        call_s=options.call_seconds,
        canaries=options.canaries,
        threads=options.caller_threads,
        token=options.token or "",
        outage_region=options.outage_region,
        refuge_region=options.refuge_region,
        results=Path(options.load_results) if options.load_results else None,
    )
