"""The reanalyzer: stored states looked at again with the newest weights, in step with what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_helpers import KINDS, random_coordinates, tiny_network
from process_helpers import TinyRun, tiny_config

from tspmz.control import Phase
from tspmz.network.inference import SearchModel
from tspmz.reanalyzer import Reanalyzer, values_along
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.tsp import env

VALUES: dict[str, Any] = {"replay__reanalyze_fraction": 1.0, "replay__reanalyze_policy": False, "replay__td_steps": 2}
POLICY: dict[str, Any] = {"replay__reanalyze_fraction": 1.0, "replay__policy_target": "visit_counts"}


def reanalyzing(directory: Path, settings: dict[str, Any], **values: Any) -> tuple[TinyRun, Reanalyzer]:
    run = TinyRun(directory, **settings, **values)
    reanalyzer = Reanalyzer(run.config, run.channels)
    reanalyzer.pull_weights()
    return run, reanalyzer


@pytest.mark.parametrize("kind", KINDS)
def test_values_along_tours_are_those_of_each_state(kind: str) -> None:
    model = SearchModel(tiny_network(kind, 5), 1)
    coordinates = random_coordinates(2, 5)
    tours = np.array([[[0, 2, 4, 1, 3], [3, 1, 0, 2, 4]], [[4, 3, 2, 1, 0], [1, 0, 2, 3, 4]]])
    found = values_along(model, coordinates, tours)
    assert found.shape == (2, 2, 4)
    for i in range(2):
        for g in range(2):
            model.encode(coordinates[i : i + 1])
            state = env.reset(coordinates[i : i + 1], tours[i : i + 1, g : g + 1, 0])
            for t in range(4):
                value = model.initial(state.first, state.current, env.legal_actions(state)).values[0]
                assert found[i, g, t] == pytest.approx(value, abs=1e-5)
                state, _ = env.step(state, tours[i : i + 1, g : g + 1, t + 1])


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_search_along_its_own_tours_finds_what_it_found_when_playing(algorithm: str) -> None:
    model = SearchModel(tiny_network(num_cities=6), 5)
    coordinates, starts = random_coordinates(2, 6), np.array([[0, 3], [1, 2]])

    def searched(**settings: Any) -> Any:
        search = BatchedSearch(4, 6, algorithm=algorithm, num_simulations=4)
        return play(model, search, coordinates, starts, np.random.default_rng(5), **settings)

    played = searched()
    again = searched(follow=played.tours)
    assert all(np.array_equal(one, other) for one, other in zip(played, again, strict=True))
    reversed_tours = np.concatenate((played.tours[:, :, :1], played.tours[:, :, :0:-1]), axis=2)
    other = searched(follow=reversed_tours)
    assert np.array_equal(other.tours, reversed_tours)
    assert np.array_equal(other.visit_counts[:, :, 0], played.visit_counts[:, :, 0])


def test_values_are_those_of_the_newest_weights(tmp_path: Path) -> None:
    run, reanalyzer = reanalyzing(tmp_path, VALUES, problem__reward="one_minus_edge")
    for parameter in run.loop.learner.module.parameters():
        parameter.data.mul_(1.5)
    run.loop.publish()
    assert reanalyzer.pull_weights()
    assert reanalyzer.work_once() == 2
    results = run.channels.reanalyzed
    assert results is not None
    records = results.empty_records(2)
    assert (results.read_many(np.arange(2), np.arange(2), records) == 0).all()
    assert len(set(records["source_group_id"])) == 2
    model = SearchModel(run.loop.learner.module.eval(), 1)  # type: ignore[arg-type]
    for record in records:
        group = run.channels.ring.read(int(record["source_group_id"]), int(record["source_group_id"]))
        assert group is not None
        expected = values_along(model, group.coordinates[None], group.tours[None])[0]
        np.testing.assert_allclose(record["root_values"][:, :-1], expected[:, :-1], atol=1e-5)
        np.testing.assert_allclose(record["root_values"][:, -1], 2 + group.rewards[:, -1], rtol=1e-6)
        assert record["weights_version"] == run.channels.weights.version
    row = run.channels.stats.row("reanalyzer")
    assert (row.get("groups_reanalyzed"), row.get("simulations")) == (2, 0)


def test_policies_come_from_searches_and_reach_the_batches(tmp_path: Path) -> None:
    run, reanalyzer = reanalyzing(tmp_path, POLICY, search__num_simulations=7)
    before = run.loop.buffer.sample(np.random.default_rng(0))
    # newer visits are told from those of play by their number
    reanalyzer._search_settings = {**(reanalyzer._search_settings or {}), "num_simulations": 5}
    while run.channels.reanalyzed is not None and run.channels.reanalyzed.written(0) < 16:
        reanalyzer.work_once()
    batch = run.loop.buffer.sample(np.random.default_rng(0))
    assert run.loop.buffer.reanalyzed_share == 1.0
    assert before.policy_targets is not None
    assert batch.policy_targets is not None
    searched = batch.policy_targets[:, :, :-1]
    np.testing.assert_allclose(searched * 5, np.round(searched * 5), atol=1e-5)
    assert not np.allclose(before.policy_targets[:, :, :-1] * 5, np.round(before.policy_targets[:, :, :-1] * 5))
    legal = np.argsort(batch.tours, axis=-1)[:, :, None] > np.arange(4)[:, None]
    assert (batch.policy_targets[~legal] == 0.0).all()
    assert run.channels.stats.row("reanalyzer").get("simulations") == 16 * 4 * 3 * 5
    run.loop.train_once()
    assert run.channels.stats.row("learner").get("reanalyzed_share") == 1.0


def test_groups_are_chosen_from_the_window_of_every_actor(tmp_path: Path) -> None:
    run, reanalyzer = reanalyzing(
        tmp_path, VALUES, selfplay__num_actors=1, replay__capacity_groups=4, selfplay__groups_in_parallel=2
    )
    run.play(30)
    seen = set()
    for seed in range(40):
        actors, group_ids = reanalyzer._choose(np.random.default_rng(seed))
        assert len(set(group_ids)) == 2
        assert (actors == 0).all()
        seen |= set(group_ids.tolist())
    written = run.channels.ring.written(0)
    assert seen == set(range(written - 4, written))


def test_groups_that_are_damaged_are_skipped(tmp_path: Path) -> None:
    run, reanalyzer = reanalyzing(tmp_path, VALUES)
    run.channels.ring._records["tours"][:] += 1
    assert reanalyzer.work_once() == 0
    assert run.channels.stats.row("reanalyzer").get("groups_skipped") == 2


def test_no_more_is_made_than_drawn_and_one_for_each_slot(tmp_path: Path) -> None:
    run, reanalyzer = reanalyzing(tmp_path, VALUES)
    results = run.channels.reanalyzed
    assert results is not None
    while reanalyzer.due:
        reanalyzer.work_once()
    assert results.written(0) == results.slots_per_actor == 16
    run.channels.limiter.record_sample(3)
    made = 0
    while reanalyzer.due:
        made += reanalyzer.work_once()
    assert made == 4  # two at a time
    again = Reanalyzer(run.config, run.channels)  # restarted: the same numbers go on
    again.pull_weights()
    assert again.work_once() == 2
    assert results.written(0) == 22


def test_reanalyzer_ends_when_the_run_stops_and_waits_for_weights_and_groups(tmp_path: Path) -> None:
    config = tiny_config(**VALUES)
    run = TinyRun(tmp_path, played=0, **VALUES)
    reanalyzer = Reanalyzer(config, run.channels)
    reanalyzer.pull_weights()
    assert reanalyzer.work_once() == 0  # nothing was played
    run.channels.control.advance(Phase.STOP)
    reanalyzer.run()


def test_process_is_left_out_where_it_would_change_nothing() -> None:
    assert tiny_config(**VALUES).reanalyzes
    assert tiny_config(**POLICY).reanalyzes
    assert not tiny_config(**{**VALUES, "replay__td_steps": 0}).reanalyzes
    assert not tiny_config(**{**VALUES, "replay__td_steps": 20}).reanalyzes
    assert not tiny_config().reanalyzes


@pytest.mark.parametrize("settings", [VALUES, POLICY])
def test_groups_of_mixed_sizes_are_reanalyzed(tmp_path: Path, settings: dict[str, Any]) -> None:
    run, reanalyzer = reanalyzing(
        tmp_path, settings, problem__mixed_sizes="4,5", replay__capacity_groups=64, selfplay__groups_in_parallel=8,
        played=32,
    )  # fmt: skip
    results = run.channels.reanalyzed
    assert results is not None
    while results.written(0) < 64:
        assert reanalyzer.work_once() == 8
    run.loop.refresh()
    newer = {4: 0.0, 5: 0.0}
    for seed in range(40):
        batch = run.loop.buffer.sample(np.random.default_rng(seed))
        assert np.isfinite(batch.value_targets).all()
        newer[batch.tours.shape[2]] += run.loop.buffer.reanalyzed_share
    assert all(share > 3 for share in newer.values())  # of about 20 batches each
    assert run.loop.train_once()


@pytest.mark.parametrize("settings", [VALUES, POLICY])
def test_f30_batch_that_does_not_fit_is_reanalyzed_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    run, reanalyzer = reanalyzing(tmp_path, settings, played=4, selfplay__groups_in_parallel=4)
    whole = Reanalyzer._reanalyze

    def cramped(self: Reanalyzer, records: Any, *args: Any) -> None:
        if len(records) > 1:
            raise MemoryError
        whole(self, records, *args)

    monkeypatch.setattr(Reanalyzer, "_reanalyze", cramped)
    assert reanalyzer.work_once() == 4
    assert run.channels.reanalyzed is not None
    assert run.channels.reanalyzed.written(0) == 4
