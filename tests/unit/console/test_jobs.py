import pytest

from console.model import Model
from console.model.views import JobHealth, JobView
from contracts.mesh import JobOutcome
from tests.unit.console.world import CONNECTED, LOST, NOON, backlog, job, reported

FINISHED, FAILED = JobOutcome.FINISHED, JobOutcome.FAILED


@pytest.fixture
def model() -> Model:
    model = Model()
    model.apply(CONNECTED, NOON - 600)
    return model


def tell(model: Model, at: float, *jobs, instance: str = "host-1") -> None:
    model.apply(
        reported(at, service="scheduler", instance=instance, jobs=list(jobs)), at
    )


def reconcile(model: Model, at: float = NOON) -> JobView:
    model.tick(at)
    [view] = [view for view in model.snapshot(at).jobs if view.name == "reconcile"]
    return view


class TestJobs:
    def test_a_job_says_when_it_ran_and_when_it_will(self, model):
        tell(
            model,
            NOON,
            job(
                started_at=NOON - 4, next_at=NOON + 26, outcome=FINISHED, strip="." * 30
            ),
        )

        view = reconcile(model)

        assert view.health is JobHealth.RAN
        assert (view.last_seconds, view.next_seconds) == (4, 26)
        assert view.holder == "host-1"
        assert view.strip == "." * 20

    def test_a_job_that_has_not_run_waits(self, model):
        tell(model, NOON, job(next_at=NOON + 26))

        view = reconcile(model)

        assert view.health is JobHealth.WAITING
        assert view.duration_seconds is None

    def test_a_run_that_failed_is_said_with_what_it_ran_into(self, model):
        tell(model, NOON, job(started_at=NOON - 4, outcome=FAILED, error="no answer"))

        view = reconcile(model)

        assert view.health is JobHealth.FAILED
        assert view.words == "no answer"

    def test_a_job_is_overdue_once_a_whole_period_was_missed(self, model):
        def health(late: float) -> JobHealth:
            tell(
                model,
                NOON,
                job(started_at=NOON - 90, next_at=NOON - late, outcome=FINISHED),
            )
            return reconcile(model).health

        assert health(late=29) is JobHealth.RAN
        assert health(late=31) is JobHealth.OVERDUE

    def test_a_job_whose_holder_went_silent_is_held_by_nobody(self, model):
        tell(model, NOON - 9, job(started_at=NOON - 9, outcome=FINISHED))
        model.apply(backlog(), NOON)

        view = reconcile(model)

        assert view.health is JobHealth.UNHELD
        assert view.holder == "host-1"

    def test_another_process_takes_a_job_over(self, model):
        tell(model, NOON - 9, job(started_at=NOON - 9, outcome=FINISHED))
        tell(model, NOON, job(started_at=NOON - 1, outcome=FINISHED), instance="host-2")

        view = reconcile(model)

        assert view.health is JobHealth.RAN
        assert view.holder == "host-2"

    def test_who_had_a_job_before_does_not_speak_for_it(self, model):
        tell(model, NOON, job(started_at=NOON - 1, outcome=FINISHED), instance="host-2")
        tell(model, NOON, job(started_at=NOON - 9, outcome=FAILED), instance="host-1")

        assert reconcile(model).holder == "host-2"

    def test_a_lost_connection_makes_no_job_late(self, model):
        tell(model, NOON, job(started_at=NOON, next_at=NOON + 30, outcome=FINISHED))
        model.apply(LOST, NOON + 1)

        view = reconcile(model, NOON + 600)

        assert view.health is JobHealth.UNKNOWN
        assert view.next_seconds == 27


class TestRuns:
    def test_every_run_that_repaired_or_failed_is_kept_newest_first(self, model):
        for second, outcome, repaired in (
            (1, FINISHED, 2),
            (2, FINISHED, 0),
            (3, FAILED, 0),
        ):
            at = NOON + second
            run = job(
                "outbox",
                started_at=at,
                outcome=outcome,
                repaired=repaired,
                why={"group": repaired} if repaired else {},
            )
            tell(model, at, run)

        runs = model.snapshot(NOON + 4).runs

        assert [(run.outcome, run.repaired) for run in runs] == [
            (FAILED, 0),
            (FINISHED, 2),
        ]
        assert runs[1].words == "2 group"

    def test_what_looks_for_losses_shows_its_last_run_whatever_it_found(self, model):
        for second in (1, 2):
            tell(model, NOON + second, job(started_at=NOON + second, outcome=FINISHED))
            tell(
                model,
                NOON + second,
                job("release", started_at=NOON + second, outcome=FINISHED),
            )

        runs = model.snapshot(NOON + 3).runs

        assert [(run.name, run.started_at) for run in runs] == [("reconcile", NOON + 2)]

    def test_of_what_has_an_effect_all_the_time_the_last_run_stands_for_all(
        self, model
    ):
        for second in range(10):
            at = NOON + second
            run = job(
                "release",
                period_seconds=1.0,
                started_at=at,
                outcome=FAILED if second == 4 else FINISHED,
                repaired=0 if second == 4 else 7,
            )
            tell(model, at, run)

        runs = model.snapshot(NOON + 9).runs

        assert [(run.started_at - NOON, run.repaired) for run in runs] == [
            (9, 7),
            (4, 0),
        ]
        assert len(model.runs_of("release")) == 10

    def test_a_run_that_is_told_many_times_is_one(self, model):
        for second in range(5):
            tell(model, NOON + second, job(started_at=NOON, outcome=FINISHED))

        assert len(model.runs_of("reconcile")) == 1

    def test_a_job_keeps_its_last_hundred_runs(self, model):
        for second in range(150):
            at = NOON + second
            tell(model, at, job(started_at=at, outcome=FINISHED))

        runs = model.runs_of("reconcile")

        assert len(runs) == 100
        assert runs[0].started_at == NOON + 149
