from hypothesis import given
from hypothesis import strategies as st

from tasks.batches import WINDOW_BATCHES, make_batches

lengths = st.lists(st.integers(1, 200), max_size=300)


@given(lengths, st.integers(1, 20))
def test_every_item_is_in_one_batch_and_early_ones_come_early(sizes, size):
    items = list(enumerate(sizes))
    batches = make_batches(items, lambda item: item[1], size)
    assert sorted(item for batch in batches for item in batch) == items
    assert all(len(batch) <= size for batch in batches)
    for number, batch in enumerate(batches):
        for place, _ in batch:
            assert place // (size * WINDOW_BATCHES) == number // WINDOW_BATCHES


def test_batches_hold_similar_lengths():
    items = [1, 100, 2, 99, 3, 98]
    assert make_batches(items, lambda item: item, 3) == [[100, 99, 98], [3, 2, 1]]
    assert make_batches([], lambda item: item, 3) == []
