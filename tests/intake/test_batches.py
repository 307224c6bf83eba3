"""Events as the intake takes them."""

import gzip

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_modules.events import from_texts
from jumpcloud_modules.intake import batches as batches_module
from jumpcloud_modules.intake.batches import BATCH_BYTES, compressed_body
from tests.doubles import NOON_MS, event_at, events_of


@given(
    st.lists(
        st.integers(1, 40).flatmap(lambda n: st.sampled_from([n, n * 40])), min_size=1, max_size=30
    )
)
def test_batches_hold_every_event_once_in_order_and_within_the_bounds(
    lengths: list[int],
) -> None:
    """One too large for the intake stands alone."""
    events = [
        event_at(NOON_MS, str(place), f',"x":"{"x" * length}"')
        for place, length in enumerate(lengths)
    ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches_module, "MAX_EVENT_BYTES", 1_000)
        patch.setattr(batches_module, "BATCH_BYTES", 2_000)
        batches = list(batches_module.batches(events_of(*events)))

    assert [event for batch in batches for event in batch] == events
    for batch in batches:
        sizes = [len(event.raw) for event in batch]
        assert sum(sizes) <= 2_000 or len(batch) == 1
        assert max(sizes) <= 1_000 or len(batch) == 1


def test_a_batch_is_half_of_what_the_intake_takes() -> None:
    """Escaping a text as a JSON string at most doubles it, mostly."""
    events = from_texts([f'{{"x":"{"y" * 100_000}"}}'] * 60)

    batches = list(batches_module.batches(events_of(*events)))

    assert len(batches) == 2
    assert sum(len(event.raw) for event in batches[0]) <= BATCH_BYTES


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
    lambda text: orjson.dumps({"x": text, "y": [text]})
)


@given(
    st.lists(_TEXTS, min_size=1, max_size=200),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
def test_the_body_says_what_a_plain_encoder_would_say(texts: list[bytes], key: str) -> None:
    """Each text as one JSON string, whatever it holds, in their order."""
    body = gzip.decompress(compressed_body([msgspec.Raw(text) for text in texts], key))

    assert orjson.loads(body) == {"intake_key": key, "jsons": [text.decode() for text in texts]}
