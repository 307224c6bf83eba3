"""Events as no document describes them, through the real process."""

from sandbox import Event, make_event
from sandbox.connector import Settings
from sandbox.instants import now_ms
from tests.process.scene import DAY_MS, HOUR_MS, MINUTE_MS, history, scene


def _strange(now: int) -> list[Event]:
    at = now - 20 * MINUTE_MS
    texts = [
        b'{"id":"big","timestamp":"%b","n":123456789012345678901234567890,"f":1.10e+400}',
        b'{"id":"esc","timestamp":"%b","s":"\\u00e9\\/\\u0000\\n","t":"\xc3\xa9\xe2\x80\xa8"}',
        b'{"id":"half","timestamp":"%b","s":"\\ud800 \\udc00"}',
        b'{ "id" : "blanks" ,\t"timestamp":\r\n"%b" , "a" : [ ] }',
        b'{"id":"twice","id":"twice again","timestamp":"%b"}',
        b'{"timestamp":"%b","deep":' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"id":{"no":"text"},"timestamp":"%b"}',
        b'{"id":"\\u0061scii","timestamp":"%b"}',
    ]
    stamp = b"2026-11-21T00:00:00.123456789Z"
    return [
        make_event(at, id=None),
        make_event(at, id=None, extra={"n": 2}),
        make_event(at, id=12345),
        make_event(at, id=...),
        make_event(at, id=""),
        make_event(at, timestamp=None),
        make_event(at, timestamp=...),
        make_event(at, timestamp="yesterday"),
        make_event(at, timestamp=1_700_000_000),
        make_event(at, timestamp="2026-02-30T25:61:00Z"),
        make_event(at, timestamp="0000-00-00T00:00:00Z"),
        make_event(at, timestamp="0001-01-01T00:00:00+23:59"),
        make_event(at, timestamp="9999-12-31T23:59:59.999999999Z"),
        make_event(at, timestamp="2026-11-21T12:00:00+05:30"),
        make_event(at, timestamp="2026-11-21"),
        make_event(at, id="😀" * 200),
        *(make_event(at, text=text % stamp if b"%b" in text else text) for text in texts),
        make_event(at, text=b"{}"),
    ]


def test_strange_events_arrive_verbatim_once_each_and_block_nothing() -> None:
    """Also what comes after them, and what comes late beside them."""
    now = now_ms()
    strange = _strange(now)
    with scene([*history(300), *strange], Settings(chunk_size=50)) as on:
        on.delivers_all()
        late = make_event(now - 20 * MINUTE_MS)
        on.sandbox.jumpcloud.publish([late, make_event(now_ms())])
        on.delivers_all()
        on.polls(4)

        assert on.judgement == "clean"
        assert not on.told("unexpectedly")


def test_events_of_the_future_come_once_and_never_move_the_watermark_past_now() -> None:
    """What happens now is still collected after them, also by a process started later."""
    now = now_ms()
    ahead_ms = (MINUTE_MS, HOUR_MS, 40 * DAY_MS, 9_000 * DAY_MS)
    future = [make_event(now + after_ms, visible_ms=now) for after_ms in ahead_ms]
    with scene([*history(50), *future]) as on:
        on.delivers_all()
        on.sandbox.jumpcloud.publish([make_event(now_ms())])
        on.delivers_all()
        on.polls()
        on.connector.kill()
        on.connector.start()
        on.sandbox.jumpcloud.publish([make_event(now_ms())])
        on.delivers_all()
        on.polls()

        assert on.judgement == "clean"


def test_items_that_are_no_objects_are_set_aside_and_the_rest_flows() -> None:
    """They are no events; each is kept and told once."""
    now = now_ms()
    texts = (b"null", b"7", b'"text"', b"[1,2]", b"true")
    odd = [make_event(now - MINUTE_MS - n, text=text) for n, text in enumerate(texts)]
    with scene([*history(50), *odd]) as on:
        on.delivers(50)
        on.is_told("because it is no JSON object", "warning")
        on.polls(4)
        kept = list((on.connector.data_folder / "quarantine").iterdir())

        assert sorted(path.read_bytes() for path in kept) == sorted(texts)
        assert on.sandbox.verdict(without=odd).clean
        assert len(on.told("no JSON object")) == len(texts)


def test_equal_events_come_once_and_do_not_make_the_audit_read_forever() -> None:
    """Their bucket stays short; what was read once is not read at each poll."""
    now = now_ms()
    twin = make_event(now - 3 * MINUTE_MS)
    older_twin = make_event(now - 5 * HOUR_MS)
    with scene([*history(100), twin, twin, older_twin, older_twin]) as on:
        on.delivers(102)
        on.polls(3)
        counted = on.sandbox.jumpcloud.requests.arrivals("interval")
        read = _reread(on.sandbox.jumpcloud.requests.entries("events"))
        on.sees(lambda: on.sandbox.jumpcloud.requests.arrivals("interval"), counted + 8)

        assert on.sandbox.verdict().clean
        assert on.sandbox.verdict().folded == 2
        assert _reread(on.sandbox.jumpcloud.requests.entries("events")) - read <= 2


def _reread(entries: object) -> int:
    assert isinstance(entries, list)
    return sum(1 for entry in entries if "end_time" in entry.body)
