"""Ties the load to locust's events, alone or distributed: options, personas and shape, results, the verdict."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gevent
from locust import User, events
from locust.runners import MasterRunner, WorkerRunner

from loadtest.load import running
from loadtest.load.options import add_options
from loadtest.load.results import Results
from loadtest.load.schedule import LATE
from loadtest.load.shapes import SHAPES, Outage
from loadtest.load.users import CALLERS, Canary

if TYPE_CHECKING:
    from locust.env import Environment

_log = logging.getLogger("antiphon.load")
_SAMPLE_S = 1.0
_STRIKE = "antiphon_outage"
_KEY = "antiphon_voice"
_LOCAL = "local"


def install() -> None:
    """Called by the locustfile."""
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(_init)


def _init(environment: Environment, **_: Any) -> None:  # noqa: ANN401 - locust's
    running.begin(environment)
    choice = running.choice()
    _choose_users(environment)
    results = Results()
    environment.events.test_start.add_listener(lambda **_: _begin_anew(environment, results))
    runner = environment.runner
    if choice.shape != "none" and not isinstance(runner, WorkerRunner):
        shape = SHAPES[choice.shape]()
        shape.runner = runner
        if isinstance(shape, Outage):
            shape.strike = lambda: _strike_everywhere(environment)
        environment.shape_class = shape
    if isinstance(runner, WorkerRunner):
        runner.register_message(_STRIKE, lambda **_: running.strike(choice.outage_region))
        environment.events.report_to_master.add_listener(_report)
        environment.events.quitting.add_listener(lambda **_: running.end())
        return
    environment.events.worker_report.add_listener(
        lambda client_id, data, **_: results.parts.update({client_id: data[_KEY]} if _KEY in data else {})
    )
    sampler = gevent.spawn(_sample, environment, results)
    environment.events.quitting.add_listener(lambda **_: _conclude(environment, results, sampler))


def _begin_anew(environment: Environment, results: Results) -> None:
    """A test of its own, with the options that the page may have changed."""
    running.begin(environment)
    results.clear()


def _choose_users(environment: Environment) -> None:
    """Personas of the mix, with its weights; canaries where they are wanted."""
    choice = running.choice()
    chosen: list[type[User]] = []
    for name, user in CALLERS.items():
        if choice.mix.get(name, 0):
            user.weight = choice.mix[name]
            chosen.append(user)
    Canary.fixed_count = choice.canaries
    environment.user_classes = [*chosen, Canary] if choice.canaries else chosen


def _report(data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - locust's
    switchboard = running.started()
    if switchboard is not None:
        data[_KEY] = switchboard.totals()


def _strike_everywhere(environment: Environment) -> None:
    region = running.choice().outage_region
    if isinstance(environment.runner, MasterRunner):
        environment.runner.send_message(_STRIKE)
        _log.warning("the callers of %s lose their network", region)
    else:
        _log.warning("%d callers of %s lose their network", running.strike(region), region)


def _sample(environment: Environment, results: Results) -> None:
    while True:
        gevent.sleep(_SAMPLE_S)
        _take(results)
        if results.parts:
            results.sample(environment.runner.user_count if environment.runner else 0)


def _take(results: Results) -> None:
    switchboard = running.started()
    if switchboard is not None:
        results.parts[_LOCAL] = switchboard.totals()


def _conclude(environment: Environment, results: Results, sampler: gevent.Greenlet) -> None:
    sampler.kill()
    _take(results)
    running.end()
    found = results.faults()
    if found:
        environment.process_exit_code = LATE
        for fault in found:
            _log.error("no report: the load could not keep its own schedule: %s", fault)
        return
    path = running.choice().results
    if path is not None:
        results.write(path, environment)
