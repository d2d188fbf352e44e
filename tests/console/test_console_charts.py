"""Charts show what they are given, and nothing that they are given can do anything."""

from broker.console.charts import Part, Series, bar, flow, lines


def test_a_console_bar_shows_shares_and_leaves_the_rest() -> None:
    made = bar([Part("leased", 3, "3"), Part("foreign", 0)], 12, label="use")

    assert 'class="part-leased" x="0.000" y="0" width="25.000"' in made
    assert "part-foreign" not in made
    assert bar([Part("leased", 0)], 0, label="nothing").count("<rect") == 1


def test_console_bands_are_as_thick_as_what_flows() -> None:
    amounts = {("a", "x"): 30.0, ("a", "y"): 10.0, ("b", "x"): 0.0}
    made = flow(amounts, ["a", "b"], ["x", "y"], label="flows", says={n: n for n in ("<a", "<b", ">x", ">y")})

    widths = [float(part.partition('"')[0]) for part in made.split('stroke-width="')[1:]]
    assert len(widths) == 2
    assert abs(widths[0] - 3 * widths[1]) < 0.3


def test_console_lines_stay_inside_and_steps_hold() -> None:
    made = lines([Series("a", "price", [(0, 1), (10, 4)])], label="prices", steps=True)

    assert "H748.0V" in made
    assert lines([], label="nothing") == ""
    assert "h0.1" in lines([Series("a", "one", [(5, 0)])], label="one")


def test_names_in_console_charts_are_escaped() -> None:
    hostile = '"><script>'
    made = [
        bar([Part("leased", 1, hostile)], 1, label=hostile),
        flow({("a", "x"): 1.0}, ["a"], ["x"], label=hostile, says={"<a": hostile, ">x": hostile}),
        lines([Series("a", hostile, [(0, 1)])], label=hostile, x_labels=[(0, hostile)]),
    ]

    assert not [each for each in made if "<script" in each or '"">' in each]
