"""The order of samples is a function of seed and global position."""

from itertools import islice

import pytest

from lrfdn_arch.data.sampler import EndlessSampler, SampleKey


def take(count: int, **arguments) -> list[SampleKey]:
    return list(islice(EndlessSampler(**arguments), count))


def test_every_epoch_is_a_permutation_and_nothing_is_dropped_between_epochs():
    keys = take(35, length=7, seed=1)
    for epoch in range(5):
        part = keys[7 * epoch : 7 * epoch + 7]
        assert [key.epoch for key in part] == [epoch] * 7
        assert sorted(key.index for key in part) == list(range(7))


def test_epochs_and_seeds_are_shuffled_differently():
    first, second = take(50, length=50, seed=1), take(100, length=50, seed=1)[50:]
    other = take(50, length=50, seed=2)
    orders = {tuple(k.index for k in keys) for keys in (first, second, other)}
    assert len(orders) == 3
    assert tuple(range(50)) not in orders


def test_the_order_does_not_change_between_releases():
    assert [key.index for key in take(10, length=10, seed=3)] == [6, 5, 8, 2, 0, 3, 1, 7, 4, 9]


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_share_the_work_of_one_process_without_overlap(world_size: int):
    alone = take(world_size * 12, length=7, seed=4)
    shares = [
        take(12, length=7, seed=4, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    assert [key for round_ in zip(*shares, strict=True) for key in round_] == alone


@pytest.mark.parametrize("used", [0, 1, 6, 7, 8, 41])
def test_a_resumed_sampler_goes_on_where_the_first_one_stopped(used: int):
    whole = take(60, length=7, seed=5)
    stopped = EndlessSampler(7, seed=5)
    assert list(islice(stopped, used)) == whole[:used]
    resumed = EndlessSampler(7, seed=5)
    resumed.load_state_dict(stopped.state_dict())
    assert list(islice(resumed, 60 - used)) == whole[used:]


def test_a_run_may_be_resumed_by_another_number_of_ranks():
    whole = take(60, length=7, seed=5)
    rank1 = EndlessSampler(7, seed=5, rank=1, world_size=2)
    list(islice(rank1, 12))  # both ranks together: 24 samples
    shares = []
    for rank in range(3):
        resumed = EndlessSampler(7, seed=5, rank=rank, world_size=3)
        resumed.load_state_dict(rank1.state_dict())
        shares.append(list(islice(resumed, 12)))
    assert [key for round_ in zip(*shares, strict=True) for key in round_] == whole[24:]


def test_the_state_can_be_taken_at_the_samples_that_were_used():
    sampler = EndlessSampler(7, seed=5)
    list(islice(sampler, 30))  # a loader fetched 30, the training used 19
    resumed = EndlessSampler(7, seed=5)
    resumed.load_state_dict(sampler.state_dict(19))
    assert next(iter(resumed)) == take(20, length=7, seed=5)[19]


def test_resuming_far_ahead_makes_one_epochs_order_and_no_more(monkeypatch):
    from lrfdn_arch.data import sampler as module

    made = []
    original = module.epoch_order
    monkeypatch.setattr(module, "epoch_order", lambda *a: made.append(a) or original(*a))
    resumed = EndlessSampler(7, seed=5)
    resumed.load_state_dict({"position": 7 * 10**15 + 3, "seed": 5, "length": 7})
    assert next(iter(resumed)).epoch == 10**15
    assert made == [(7, 5, 10**15)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"length": 0}, "at least 1 sample"),
        ({"length": 3, "seed": -1}, "seed"),
        ({"length": 3, "rank": 2, "world_size": 2}, "rank"),
    ],
)
def test_senseless_arguments_are_refused(arguments, words: str):
    with pytest.raises(ValueError, match=words):
        EndlessSampler(**arguments)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"length": 8}, "length 8"), ({"seed": 6}, "seed 6"), ({"position": -1}, "position")],
)
def test_a_state_of_another_run_is_refused(change, words: str):
    state = EndlessSampler(7, seed=5).state_dict() | change
    with pytest.raises(ValueError, match=words):
        EndlessSampler(7, seed=5).load_state_dict(state)


def test_a_dict_that_is_no_state_is_refused():
    with pytest.raises(ValueError, match="it lacks length, seed"):
        EndlessSampler(7).load_state_dict({"position": 3})
