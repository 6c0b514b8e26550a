import pytest

from vectorplug.errors import InputError, PartialFailureError
from vectorplug.search.hits import AddReport, content_hash, key_of, row_of


@pytest.mark.parametrize(
    ("document_id", "key"),
    [
        ("a", "943f59c8-4e7e-52b5-b075-32c672f568ba"),
        ("", "904aa2cb-f7c2-5bde-a3b6-23f6340bbba5"),
        ("1", "1623dff6-8ece-53d5-9b22-b2815da1446e"),
        (1, "56bf01ee-e2bf-510f-a4e2-1ada4f1b97c2"),
        (-7, "d4ec29a3-a2ab-57dd-a3dc-24ccf40847a7"),
        ("größe 🌊", "aeacf1b5-fd15-5f3b-b71c-eae1456d59d6"),
    ],
)
def test_keys_are_the_same_for_ever(document_id: str | int, key: str) -> None:
    assert key_of(document_id) == key


@pytest.mark.parametrize("wrong", [None, 1.0, True, b"a", ("a",)])
def test_other_types_are_no_ids(wrong: object) -> None:
    with pytest.raises(InputError, match="expected a str or an int"):
        key_of(wrong)  # type: ignore[arg-type]


def test_content_hash_is_the_same_for_ever() -> None:
    assert content_hash("the sea", {"b": 1, "a": [None, "ü"]}) == "1823938ad3281440"


def test_content_hash_tells_every_change_but_the_order_of_names() -> None:
    base = content_hash("x", {"a": 1, "b": [1, 2]})
    assert content_hash("x", {"b": [1, 2], "a": 1}) == base
    others = [("y", {"a": 1, "b": [1, 2]}), ("x", {"a": 1, "b": [2, 1]}), ("x", {"a": "1", "b": [1, 2]}), ("x", {})]
    assert len({base, *(content_hash(text, payload) for text, payload in others)}) == 5


def test_a_row_keeps_its_own_copy_of_the_payload() -> None:
    payload = {"a": 1}
    row = row_of("x", "text", payload)
    payload["a"] = 2
    assert row.payload == {"a": 1}
    assert (row.id, row.key, row.content) == ("x", key_of("x"), content_hash("text", {"a": 1}))


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"a": float("inf")}, r"payload\['a'\] is inf"),
        ({"a": [0, {"b": float("nan")}]}, r"payload\['a'\]\[1\]\['b'\] is nan"),
        ({"a": 2**63}, "64 bits"),
        ({"a": -(2**63) - 1}, "64 bits"),
        ({2: "a"}, "the name 2 of type int"),
        ({"a": {None: 1}}, "the name None"),
        ({"a": "x\udfff"}, "no Unicode"),
        ({"x\udfff": 1}, "no Unicode"),
        ({"a": b"x"}, "is of type bytes"),
        ({"a": {1, 2}}, "is of type set"),
    ],
)
def test_what_no_database_keeps_is_refused(payload: dict[object, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        row_of("x", "text", payload)  # type: ignore[arg-type]


def nested(levels: int) -> dict[str, object]:
    value: object = 0
    for _ in range(levels - 1):
        value = [value]
    return {"a": value}


def test_a_payload_is_at_most_64_levels_deep() -> None:
    row_of("x", "text", nested(64))
    with pytest.raises(InputError, match="more than 64 levels"):
        row_of("x", "text", nested(65))
    endless: dict[str, object] = {}
    endless["self"] = endless
    with pytest.raises(InputError, match="more than 64 levels"):
        row_of("x", "text", endless)


@pytest.mark.parametrize("wrong", [2**63, "x\ud800"])
def test_ids_obey_the_same_rules(wrong: str | int) -> None:
    with pytest.raises(InputError, match="the id"):
        row_of(wrong, "text", {})


def test_a_report_raises_what_failed() -> None:
    AddReport(added=3).raise_failed()
    with pytest.raises(PartialFailureError, match="refused 2 documents, 7 for example: too long") as caught:
        AddReport(added=3, failed=[(7, "too long"), ("x", "no text")]).raise_failed()
    assert caught.value.failed == [(7, "too long"), ("x", "no text")]
