"""Workers and turns: where the time of an answer goes, who is overloaded, what is dropped."""

from deploy.grafana.model import AGENT, WORKER, Dashboard, Panel, Section, cpu, gauge, quantile, quantiles, query, rate

_THIS = '{instance=~"$worker"}'

DASHBOARD = Dashboard(
    uid="antiphon-worker",
    title="Antiphon / Worker and turns",
    description="Where the time of an answer goes, how turns end, and whether workers keep up.",
    variables=(WORKER, AGENT),
    sections=(
        Section(
            "Turns",
            (
                Panel(
                    "Where the time goes: p50 by stage",
                    "Stages between a caller's last sound and the agent's first at the caller's ear (docs/latency.md).",
                    "s",
                    tuple(quantiles("antiphon_worker_turn_stage_seconds", _THIS, "stage", (0.5,))),
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Where the time goes: p90 by stage",
                    "The same at the ninth decile. Deciles of stages do not add up to the decile of the whole.",
                    "s",
                    tuple(quantiles("antiphon_worker_turn_stage_seconds", _THIS, "stage", (0.9,))),
                    width=12,
                ),
                Panel(
                    "Answers",
                    "How many answers took how long.",
                    "s",
                    (
                        query(
                            "sum by (le) (increase(antiphon_worker_turn_response_seconds_bucket"
                            '{instance=~"$worker", agent=~"$agent"}[$__rate_interval]))',
                            "{{le}}",
                        ),
                    ),
                    kind="heatmap",
                ),
                Panel(
                    "What ended turns",
                    "Turns of callers that were handed over a second, by what ended them.",
                    "ops",
                    (rate("antiphon_worker_turn_commits_total", _THIS, "reason"),),
                    stacked=True,
                ),
                Panel(
                    "What came of turns",
                    "Turns that an agent was asked to answer, a second.",
                    "ops",
                    (rate("antiphon_worker_traced_turns_total", _THIS, "outcome"),),
                    stacked=True,
                ),
                Panel(
                    "Turns taken back",
                    "A second, and why: what was thought to be the end was none.",
                    "ops",
                    (rate("antiphon_worker_turns_withdrawn_total", _THIS, "cause"),),
                    stacked=True,
                ),
                Panel(
                    "Utterances",
                    "Utterances of agents a second, by how they ended.",
                    "ops",
                    (rate("antiphon_worker_utterances_total", _THIS, "state"),),
                    stacked=True,
                ),
                Panel(
                    "Missing frames",
                    "Frames of callers that were missing, a second: announced, lost for good, decoded from FEC.",
                    "ops",
                    (rate("antiphon_worker_missing_frames_total", _THIS, "state"),),
                ),
            ),
        ),
        Section(
            "Hearing",
            (
                Panel(
                    "End-of-turn model",
                    "From the question to the answer.",
                    "s",
                    tuple(quantiles("antiphon_end_of_turn_seconds", _THIS)),
                ),
                Panel(
                    "Its answers",
                    "Questions a second, by what came of them.",
                    "ops",
                    (rate("antiphon_end_of_turn_answers_total", _THIS, "outcome"),),
                    stacked=True,
                ),
                Panel(
                    "Voice detection",
                    "Windows judged in one run of the model: it grows where a core is short.",
                    "short",
                    tuple(quantiles("antiphon_vad_batch_windows", _THIS, shares=(0.5, 0.99))),
                ),
            ),
        ),
        Section(
            "Assistants",
            (
                Panel(
                    "Recognition",
                    "How long audio waits to be recognised, and how long that takes, p90.",
                    "s",
                    (
                        quantile(0.9, "antiphon_assistant_recognition_wait_seconds", _THIS, legend="waits"),
                        quantile(0.9, "antiphon_assistant_recognition_seconds", _THIS, legend="takes"),
                    ),
                ),
                Panel(
                    "First words, first sound",
                    "From a turn's text to the model's first words, and from a sentence to its speech, p90.",
                    "s",
                    (
                        quantile(0.9, "antiphon_assistant_first_token_seconds", _THIS, legend="first words"),
                        quantile(0.9, "antiphon_assistant_first_sound_seconds", _THIS, legend="first sound"),
                    ),
                ),
                Panel(
                    "Failures and refusals",
                    "Replies in which a part failed, and work that a part refused, a second.",
                    "ops",
                    (
                        rate("antiphon_assistant_failures_total", _THIS, "part", "{{part}} failed"),
                        rate("antiphon_assistant_refused_total", _THIS, "part, reason"),
                    ),
                ),
            ),
        ),
        Section(
            "Worker",
            (
                Panel(
                    "Sessions",
                    "Live sessions of each worker.",
                    "short",
                    (query(f"sum by (instance) (antiphon_worker_sessions{_THIS})", "{{instance}}"),),
                ),
                Panel(
                    "Overloaded",
                    "1 while over 1 % of voice detection is later than 20 ms: the worker takes no more sessions.",
                    "short",
                    (gauge("antiphon_worker_overloaded", _THIS),),
                    most=1,
                ),
                Panel(
                    "Event loop held",
                    "Times a second that something held the event loop, and that the machine woke it too late.",
                    "ops",
                    (
                        rate("antiphon_worker_loop_held_total", _THIS, legend="held"),
                        rate("antiphon_worker_loop_starved_total", _THIS, legend="starved"),
                    ),
                ),
                Panel(
                    "Dropped",
                    "What the worker dropped, and its edges for it, a second.",
                    "ops",
                    (
                        rate("antiphon_worker_dropped_total", _THIS, "what, reason"),
                        rate("antiphon_worker_edge_dropped_frames_total", _THIS, legend="frames, by edges"),
                    ),
                ),
                Panel(
                    "Agents' errors",
                    "Exceptions that ended a session, a second, by agent.",
                    "ops",
                    (rate("antiphon_worker_agent_errors_total", '{instance=~"$worker", agent=~"$agent"}', "agent"),),
                ),
                Panel(
                    "CPU",
                    "Cores that the worker's process uses.",
                    "short",
                    (cpu("worker", 'instance=~"$worker"'),),
                ),
            ),
        ),
    ),
)
