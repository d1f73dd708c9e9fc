"""The rate limiter: its law by hand, waiting, state, other processes."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from tspmz.replay.limiter import RateLimiter


def limiter_of(
    actors: int = 1, ratio: float = 2.0, min_groups: int = 10, buffer: float = 4.0, most: float | None = None
) -> RateLimiter:
    return RateLimiter(actors, ratio, min_groups, buffer, most)


def stopped_at(error: float) -> dict[str, float]:
    """State of a limiter of `limiter_of` that had 500 inserts, 10 samples and that error when it stopped."""
    correction = error - (500 - 10 - 10 / 2)
    return {"inserted": 500, "sampled": 10, "correction": correction, "learner_correction": correction}


def play(limiter: RateLimiter, groups: int, actor: int = 0) -> None:
    """Insert `groups`, and let the learner see them."""
    limiter.record_insert(actor, groups)
    limiter.record_window(limiter.inserted, limiter.inserted)


def test_error_by_hand() -> None:
    limiter = limiter_of(2)
    play(limiter, 9)
    play(limiter, 5, actor=1)
    limiter.record_sample(6)
    # 14 played - 10 to fill the window - 6 / 2 samples
    assert limiter.error == 1.0


def test_actor_may_insert_until_the_window_is_full_and_the_buffer_used() -> None:
    limiter = limiter_of()
    inserted = 0
    while limiter.actor_may_insert(0):
        play(limiter, 1)
        inserted += 1
    assert inserted == 14
    limiter.record_sample(2)
    assert limiter.actor_may_insert(0)
    play(limiter, 1)
    assert not limiter.actor_may_insert(0)


def test_learner_may_sample_from_min_groups_until_the_buffer_is_used() -> None:
    limiter = limiter_of()
    play(limiter, 9)
    assert not limiter.learner_may_sample()
    play(limiter, 1)
    sampled = 0
    while limiter.learner_may_sample():
        limiter.record_sample(1)
        sampled += 1
    assert sampled == 8
    play(limiter, 1)
    assert limiter.learner_may_sample()


def test_actor_does_not_play_more_than_the_buffer_while_the_learner_is_not_yet_there() -> None:
    limiter = limiter_of()
    inserted = 0
    while limiter.actor_may_insert(0):
        limiter.record_insert(0)
        inserted += 1
    assert inserted == 14


def test_refused_groups_are_played_again_so_that_nobody_waits_for_ever() -> None:
    limiter = limiter_of()
    limiter.record_insert(0, 30)
    limiter.record_window(3, 30)
    assert not limiter.learner_may_sample()
    assert limiter.actor_may_insert(0)
    limiter.record_insert(0, 7)
    assert not limiter.actor_may_insert(0)
    limiter.record_window(10, 37)
    assert limiter.learner_may_sample()


@pytest.mark.parametrize("ratio", [0.3, 1.0, 6.0])
def test_ratio_is_kept_in_the_long_run(ratio: float) -> None:
    limiter = limiter_of(ratio=ratio)
    for _ in range(2000):
        played = limiter.actor_may_insert(0)
        if played:
            play(limiter, 1)
        learned = limiter.learner_may_sample()
        if learned:
            limiter.record_sample(3)
        assert played or learned
        assert -4.0 - 3 / ratio <= limiter.error + max(0, 10 - limiter.inserted) <= 5.0
    assert limiter.sampled / (limiter.inserted - 10) == pytest.approx(ratio, rel=0.1)


def test_nobody_is_held_between_the_two_ratios() -> None:
    limiter = limiter_of(ratio=2.0, most=6.0)
    play(limiter, 10)
    for _ in range(500):
        assert limiter.actor_may_insert(0)
        play(limiter, 1)
        assert limiter.learner_may_sample()
        limiter.record_sample(4)
    assert limiter.sampled / (limiter.inserted - 10) == pytest.approx(4.0)


def test_learner_is_held_at_the_upper_ratio() -> None:
    limiter = limiter_of(ratio=2.0, most=6.0)
    play(limiter, 10)
    sampled = 0
    for _ in range(100):
        play(limiter, 1)
        while limiter.learner_may_sample():
            limiter.record_sample(1)
            sampled += 1
    assert sampled == pytest.approx(6 * 100, abs=6 * 4)


def test_a_lead_is_not_saved_up_for_a_burst() -> None:
    limiter = limiter_of(ratio=2.0, most=6.0)
    play(limiter, 10)
    for _ in range(1000):
        play(limiter, 1)
        limiter.record_sample(5)
    burst = 0
    while limiter.actor_may_insert(0):
        play(limiter, 1)
        burst += 1
    assert burst == 12  # from -2 to +1 times the buffer of 4


def test_somebody_may_always_go_on() -> None:
    limiter = limiter_of(ratio=2.0, most=2.5)
    for turn in range(3000):
        allowed = [limiter.actor_may_insert(0), limiter.learner_may_sample()]
        assert any(allowed)
        if allowed[turn % 2]:
            play(limiter, 7) if turn % 2 == 0 else limiter.record_sample(5)
        elif allowed[0]:
            play(limiter, 7)
        else:
            limiter.record_sample(5)


def test_timeout_says_who_waits_for_what() -> None:
    limiter = limiter_of(3)
    wait = limiter.wait_to_sample(lambda: 4, 0.0)
    assert not wait.granted
    assert "the learner waits for actors to fill the window: 4 of 10 groups" in wait.reason
    play(limiter, 20)
    wait = limiter.wait_to_insert(2, 0.0)
    assert not wait.granted
    assert "actor 2 waits for the learner to sample: inserted 20, sampled 0" in wait.reason
    limiter.record_sample(100)
    assert "the learner waits for actors to play" in limiter.wait_to_sample(lambda: 20, 0.0).reason


def test_wait_to_sample_takes_in_groups_while_it_waits() -> None:
    limiter = limiter_of()
    sizes = iter([3, 9, 12])

    def refresh() -> int:
        limiter.record_insert(0, 4)
        return next(sizes)

    assert limiter.wait_to_sample(refresh, 30.0).granted
    assert limiter.size == 12


def test_waiting_actor_is_woken_by_a_sample() -> None:
    limiter = limiter_of()
    play(limiter, 14)
    assert not limiter.actor_may_insert(0)
    results = []
    thread = threading.Thread(target=lambda: results.append(limiter.wait_to_insert(0, 30.0)))
    thread.start()
    limiter.record_sample(2)
    thread.join(30)
    assert results[0].granted
    assert results[0].reason == ""


def test_state_goes_on_where_it_stopped() -> None:
    limiter = limiter_of(2)
    play(limiter, 12)
    limiter.record_sample(3)
    restored = limiter_of(3)
    restored.load_state(limiter.state(), size=12)
    assert (restored.inserted, restored.sampled, restored.error) == (12, 3, 0.5)
    restored.record_insert(2, 1)
    assert (restored.inserted, restored.error) == (13, 1.5)


@pytest.mark.parametrize(("error", "capped"), [(1000.0, 4.0), (-1000.0, -4.0), (2.5, 2.5), (-7.5, -7.5)])
def test_catch_up_after_a_resume_is_capped(error: float, capped: float) -> None:
    limiter = limiter_of()
    limiter.load_state(stopped_at(error), size=50)
    assert limiter.error == pytest.approx(capped)
    assert (limiter.inserted, limiter.sampled) == (500, 10)


def test_groups_that_actors_held_are_kept_above_the_cap() -> None:
    limiter = limiter_of()
    limiter.load_state(stopped_at(1000.0), size=50, overshoot=3.0)
    assert limiter.error == pytest.approx(7.0)


def test_resume_with_an_empty_window_fills_it_first() -> None:
    limiter = limiter_of()
    limiter.load_state(stopped_at(4.0), size=0)
    assert not limiter.learner_may_sample()
    inserted = 0
    while limiter.actor_may_insert(0):
        limiter.record_insert(0)
        inserted += 1
    assert inserted == 10


def _actor(limiter: RateLimiter, actor: int, count: int) -> None:
    for _ in range(count):
        assert limiter.wait_to_insert(actor, 60.0).granted
        limiter.record_insert(actor)


def test_actors_in_other_processes_are_held_and_released() -> None:
    limiter = limiter_of(2)
    context = multiprocessing.get_context("spawn")
    actors = [context.Process(target=_actor, args=(limiter, actor, 100)) for actor in range(2)]
    for process in actors:
        process.start()
    try:
        while limiter.sampled < 300:
            wait = limiter.wait_to_sample(lambda: limiter.inserted, 60.0)
            assert wait.granted, wait.reason
            limiter.record_sample(2)
            assert limiter.error <= 4.0 + 2
    finally:
        for turn in range(6000):
            limiter.record_sample(10)  # lets the rest be played
            actors[turn % 2].join(0.01)
            if not any(process.is_alive() for process in actors):
                break
    assert [process.exitcode for process in actors] == [0, 0]
    assert limiter.inserted == 200


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        limiter_of(ratio=0.0)
