"""Pages that several scripts write to."""

from train.report.page_sections import with_section, with_sections_of


def test_a_section_is_written_and_replaced_and_nothing_else_changes():
    page = with_section("# Page\n\ntext\n", "arrange", "## Arranging\n\none")
    assert page.startswith("# Page\n\ntext\n\n<!-- section: arrange -->\n## Arranging\n\none\n")
    both = with_section(page, "costs", "## Costs")
    again = with_section(both, "arrange", "## Arranging\n\ntwo")
    assert "one" not in again and "two" in again and "## Costs" in again and again.count("section:") == 2


def test_a_page_that_is_written_anew_keeps_the_sections_of_others():
    earlier = with_section(with_section("# Old\n", "arrange", "A"), "costs", "B")
    page = with_sections_of("# New\n", earlier)
    assert page.startswith("# New\n\n<!-- section: arrange -->\nA\n<!-- end: arrange -->\n") and "B\n" in page
    assert with_sections_of("# New\n", "# Old\n") == "# New\n"
