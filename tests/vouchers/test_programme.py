"""Programmes: every example is valid, every rule has a source, and what is wrong is named."""

import pytest

from broker.errors import InvalidRequest
from broker.vouchers.programme import BUNDLED, bundled, load_programmes, sourced


@pytest.mark.parametrize("name", BUNDLED)
def test_examples_are_valid_and_say_where_each_rule_is_from(name: str) -> None:
    file = load_programmes(bundled(name))

    for programme in file.programmes:
        for rule, said in sourced(programme):
            assert said.doubtful or not file.sources[said.source].assumed, rule


def test_rules_that_are_published_are_in_the_examples() -> None:
    [hangzhou] = load_programmes(bundled("hangzhou")).programmes
    [qingyang] = load_programmes(bundled("qingyang")).programmes
    [guizhou] = load_programmes(bundled("guizhou")).programmes

    assert (hangzhou.ratios.domestic_ppm, hangzhou.ratios.other_ppm) == (300_000, 200_000)
    assert hangzhou.enterprise_year_cap is not None
    assert hangzhou.enterprise_year_cap.micro_yuan == 8_000_000 * 10**6
    assert [p.budget.micro_yuan // 10**12 for p in (hangzhou, qingyang, guizhou)] == [250, 100, 80]
    assert qingyang.minimum_milli_pflops == 2_500_000


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("domestic_ppm: 300000", "domestic_ppm: 1000001", "programmes[0].ratios.domestic_ppm"),
        ("domestic_ppm: 300000", "domestic_ppm: 0.3", "programmes[0].ratios.domestic_ppm"),
        ("domestic_ppm: 300000", "domestic: 300000", "programmes[0].ratios.domestic"),
        ("hub: hangzhou", "hub: Hang Zhou", "programmes[0].hub"),
        ("year: 2026", "year: 26", "programmes[0].year"),
        ("micro_yuan: 250000000000000", "micro_yuan: -5", "programmes[0].budget.micro_yuan"),
        ("micro_yuan: 250000000000000", f"micro_yuan: {10**18}", "programmes[0].budget.micro_yuan"),
        ("[training, inference,", "[mining,", "programmes[0].workload_classes.names[0]"),
        ("days: 365", "days: 0", "programmes[0].validity.days"),
        ("source: hangzhou}", "source: nobody}", "programmes[0].budget.source"),
        ("sides: [demand]", "sides: [both]", "programmes[0].claims.sides[0]"),
        ("types: [company]", "types: []", "programmes[0].applicants.types"),
        ("days: 365, source: assumed, doubtful: true", "days: 365, source: assumed", "programmes[0].validity.doubtful"),
        ("programme: hangzhou-2026", "programme: " + "a" * 41, "programmes[0].programme"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(before: str, after: str, field: str) -> None:
    document = bundled("hangzhou")
    assert before in document

    with pytest.raises(InvalidRequest) as refused:
        load_programmes(document.replace(before, after, 1))

    assert field in [problem.field for problem in refused.value.fields]


@pytest.mark.parametrize(
    "document", ["", "[]", "a: &b 1\nc: *b", "programmes: [1]", "{", "sources: {}\nprogrammes: []"]
)
def test_nonsense_is_refused(document: str) -> None:
    with pytest.raises(InvalidRequest):
        load_programmes(document)


def test_a_programme_stands_once_in_a_document_and_an_unknown_example_is_told() -> None:
    text = bundled("hangzhou")
    twice = text + text[text.index("  - programme:") :]

    with pytest.raises(InvalidRequest, match="keep one"):
        load_programmes(twice)
    with pytest.raises(InvalidRequest, match="no bundled programme"):
        bundled("hangzho")
