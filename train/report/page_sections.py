"""Sections of a page that several scripts write to, each its own."""

import re

SECTION = re.compile(r"<!-- section: (?P<name>[a-z -]+) -->\n.*?<!-- end: (?P=name) -->\n", re.DOTALL)


def with_section(page: str, name: str, text: str) -> str:
    """The page with `text` as the section of that name, in the place of an earlier one or at the end."""
    section = f"<!-- section: {name} -->\n{text.strip()}\n<!-- end: {name} -->\n"
    for found in SECTION.finditer(page):
        if found["name"] == name:
            return page[: found.start()] + section + page[found.end() :]
    return f"{page.rstrip()}\n\n{section}"


def with_sections_of(page: str, earlier: str) -> str:
    """The page, and at its end all sections that an earlier version of it has."""
    return "\n".join([page.rstrip() + "\n", *(found[0] for found in SECTION.finditer(earlier))])
