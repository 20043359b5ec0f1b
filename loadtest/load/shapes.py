"""The curves as locust's load shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from locust import LoadTestShape

from loadtest.load.curves import CURVES, Moment, Wish, outage_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment


class Shape(LoadTestShape):
    """One of the curves, with locust's own options for how many, how fast and how long."""

    abstract = True
    use_common_options = True
    curve: ClassVar[str]

    def tick(self) -> Moment:
        wish = wish_of(self._environment)
        return CURVES[self.curve](wish, self.get_run_time())  # type: ignore[no-untyped-call] # locust's

    @property
    def _environment(self) -> Environment:
        if self.runner is None:
            raise RuntimeError("a shape runs within locust")
        return self.runner.environment


class Ramp(Shape):
    curve = "ramp"


class Burst(Shape):
    curve = "burst"


class Soak(Shape):
    curve = "soak"


class Outage(Shape):
    """A soak in whose middle all callers of a region lose their network, and call again."""

    curve = "outage"
    strike: Callable[[], None] | None = None
    """Tells all processes of the load."""
    _struck = False

    def reset_time(self) -> None:
        super().reset_time()  # type: ignore[no-untyped-call]
        self._struck = False

    def tick(self) -> Moment:
        if not self._struck and self.get_run_time() >= outage_at(wish_of(self._environment)):  # type: ignore[no-untyped-call]
            self._struck = True
            if self.strike is not None:
                self.strike()
        return super().tick()


SHAPES: dict[str, type[Shape]] = {shape.curve: shape for shape in (Ramp, Burst, Soak, Outage)}


def wish_of(environment: Environment) -> Wish:
    """From locust's options --users, --spawn-rate and --run-time."""
    options = environment.parsed_options
    users = (options and options.num_users) or 10
    rate = (options and options.spawn_rate) or 20.0
    return Wish(int(users), float(rate), float((options and options.run_time) or 60))
