"""The options of the commands that look after a cluster: they tell, and change nothing. Imports are late here too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

Url = Annotated[str, typer.Option(envvar="ANTIPHON_URL", help="A signaling node.")]
Token = Annotated[str | None, typer.Option(envvar="ANTIPHON_TOKEN", help="API key as <id>.<secret>.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DEFAULT_URL = "http://127.0.0.1:8080"


def status(
    url: Url = DEFAULT_URL,
    token: Token = None,
    every: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks of --watch.")] = 2.0,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show regions, edges, workers, live calls and drains. Exit code 1: no new call can be taken."""
    from antiphon.cli.status import Wish, show_status

    raise SystemExit(asyncio.run(show_status(Wish(url, token, watch, every, as_json))))


def rebalance(url: Url = DEFAULT_URL, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show which live calls would be better off at another edge, and why the others stay. Nothing is done."""
    from antiphon.cli.rebalance import show_plan

    raise SystemExit(asyncio.run(show_plan(url, token, as_json=as_json)))


def doctor(
    roles: Annotated[
        list[str] | None, typer.Argument(help="What shall run here: signaling, edge, worker. None said: all of them.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file; the environment is laid over it.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check this machine and its configuration. Exit code 1: something will not work."""
    from antiphon.cli import services
    from antiphon.cli.doctor import doctor as examined
    from antiphon.cli.doctor import roles_of

    settings = services.read_config(config)
    try:
        wanted = roles_of(roles or ())
    except ValueError as error:
        services.fail(str(error), services.USAGE)
    raise SystemExit(asyncio.run(examined(wanted, settings, as_json=as_json)))


def bundle(
    session: Annotated[str | None, typer.Argument(help="Id of the session: ses_...; none with --cluster.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; SESSION.tar.gz or antiphon-cluster.tar.gz when not said."),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="With --cluster: the configuration of this machine.")
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(help="A log file to take the end of; of a session, what names it."),
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="With --cluster: http://host:port/metrics of another edge or worker.")
    ] = None,
    *,
    cluster: Annotated[bool, typer.Option("--cluster", help="Gather what is known of the whole cluster.")] = False,
    with_metadata: Annotated[
        bool, typer.Option("--with-metadata", help="Keep the values of the session's metadata.")
    ] = False,
    without_recording: Annotated[
        bool, typer.Option("--without-recording", help="Leave the session's recording out.")
    ] = False,
) -> None:
    """Gather what is known of one session, or of the cluster, into a file to hand on, without secrets."""
    from antiphon.cli import services
    from antiphon.cli.bundle import Wish
    from antiphon.cli.bundle import bundle as bundled
    from antiphon.ids import session_region

    if cluster and session:
        services.fail("a bundle is of a session or of the cluster, not of both: leave out one of them", services.USAGE)
    if cluster:
        from antiphon.cli.support_bundle import ClusterWish, support_bundle

        file = output or Path("antiphon-cluster.tar.gz")
        settings = services.read_config(config)
        asked = ClusterWish(file, url, settings, token, log or (), metrics or ())
        raise SystemExit(asyncio.run(support_bundle(asked)))
    if not session or not session_region(session):
        services.fail(
            f"{session or ''!r} is no id of a session: expected one such as ses_frankfurt_3k9v0c7w1h5t2n8qzx4d, "
            "or --cluster",
            services.USAGE,
        )
    file = output or Path(f"{session}.tar.gz")
    wish = Wish(session, file, url, token, with_metadata, not without_recording, log or ())
    raise SystemExit(asyncio.run(bundled(wish)))


def calibrate(
    roles: Annotated[list[str] | None, typer.Argument(help="What to load: edge, worker. None said: both.")] = None,
    calls: Annotated[int, typer.Option(min=1, max=10_000, help="Calls of the first step.")] = 50,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="Calls of the last step, if no bound is left.")] = 2_000,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long a step is held.")] = 15.0,
    talking: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the callers that talk.")] = 0.5,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for --config with the capacities.")] = Path(
        "capacity.yaml"
    ),
    values: Annotated[Path, typer.Option(help="File for Helm with the same.")] = Path("capacity-values.yaml"),
    *,
    as_json: AsJson = False,
) -> None:
    """Find how many calls an edge and a worker of this machine carry, and write their capacity."""
    from antiphon.cli import services
    from antiphon.cli.calibrate import ROLES, Wish
    from antiphon.cli.calibrate import calibrate as measured

    wanted = tuple(dict.fromkeys(roles or ROLES))
    for role in wanted:
        if role not in ROLES:
            services.fail(f"{role!r} cannot be loaded: expected {' or '.join(ROLES)}", services.USAGE)
    wish = Wish(wanted, calls, most, seconds, talking, output, values, as_json)
    raise SystemExit(asyncio.run(measured(wish)))


def add_to(app: typer.Typer) -> None:
    """Makes them commands of the app."""
    commands: tuple[Callable[..., None], ...] = (status, rebalance, doctor, bundle, calibrate)
    for command in commands:
        app.command()(command)
