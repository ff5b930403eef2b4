"""The story of the demonstration: two repositories with a history, two tickets, and the agents' work on them.

All of it is data. `scene.py` makes the repositories and tickets of it, `agent.py` does the work.
The edits of the two tickets touch the same files in different places, so that closing has something to merge.
"""

from collections.abc import Mapping
from typing import NamedTuple

TIME_ZERO = 1_772_445_600
"""When the first commit was made (seconds since the epoch, in March 2026); the others follow hour by hour."""


class PastCommit(NamedTuple):
    """A commit that is there when the demonstration begins; `files` maps paths to their whole text."""

    message: str
    files: Mapping[str, str]


class StoryTicket(NamedTuple):
    """A ticket and what its index.md says."""

    ticket: str
    title: str
    topics: tuple[str, ...]
    text: str


class Edit(NamedTuple):
    """A change of one file: `old`, which is there once, becomes `new`; without `old` the file is new."""

    path: str
    old: str | None
    new: str


class Question(NamedTuple):
    """What an agent asks before it goes on, and the answer that the story has."""

    text: str
    choices: tuple[str, ...]
    answer: str


class Change(NamedTuple):
    """One commit of an agent.

    `thought` is what it prints before, `asks` what it has to know, `waits_for` the subject of the
    commit in the same repository that it needs, `check` the arguments to Python that must succeed
    before it commits, `tells` what it reports afterwards. It `dies` when it has done that.
    """

    repo: str
    thought: str
    edits: tuple[Edit, ...]
    message: str
    tells: str
    waits_for: str | None = None
    check: tuple[str, ...] = ()
    asks: Question | None = None
    dies: bool = False


# --- the repositories ---

_CATALOGUE = '''\
"""The books of the shop."""

BOOKS = [
    {"id": 1, "title": "The Left Hand of Darkness", "author": "Ursula K. Le Guin", "copies": 4},
    {"id": 2, "title": "Invisible Cities", "author": "Italo Calvino", "copies": 0},
    {"id": 3, "title": "The Dispossessed", "author": "Ursula K. Le Guin", "copies": 2},
]


def books():
    """Return all books, by title."""
    return sorted(BOOKS, key=lambda book: book["title"])


def book(number):
    """Return one book, or None."""
    return next((book for book in BOOKS if book["id"] == number), None)
'''

_SERVER = '''\
"""Answers requests with JSON: python server.py, then http://localhost:8000/books."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import catalogue

ROUTES = {
    "/books": lambda query: catalogue.books(),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        route = ROUTES.get(url.path)
        self.send_response(200 if route else 404)
        self.end_headers()
        if route:
            self.wfile.write(json.dumps(route(parse_qs(url.query))).encode())


if __name__ == "__main__":
    HTTPServer(("localhost", 8000), Handler).serve_forever()
'''

_TEST_CATALOGUE = """\
import unittest

import catalogue


class Catalogue(unittest.TestCase):
    def test_books_come_by_title(self):
        self.assertEqual(catalogue.books()[0]["title"], "Invisible Cities")

    def test_a_book_that_is_not_there_is_none(self):
        self.assertIsNone(catalogue.book(99))
"""

_PAGE = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Books</title>
    <link rel="stylesheet" href="style.css">
  </head>
  <body>
    <h1>Books</h1>
    <ul id="books"></ul>
    <script type="module" src="shop.js"></script>
  </body>
</html>
"""

_SCRIPT = """\
const list = document.querySelector("#books");

export function row(book) {
  const item = document.createElement("li");
  item.textContent = `${book.title}, ${book.author}`;
  return item;
}

export async function show(path = "/books") {
  const answer = await fetch(path);
  list.replaceChildren(...(await answer.json()).map(row));
}

show();
"""

_STYLE = """\
body { font-family: serif; margin: 2rem auto; max-width: 40rem; }
li { line-height: 1.8; }
"""

PAST: Mapping[str, tuple[PastCommit, ...]] = {
    "api": (
        PastCommit(
            "List the books", {"README.md": "# api\n\nThe shop's books, as JSON.\n", "catalogue.py": _CATALOGUE}
        ),
        PastCommit("Answer over HTTP", {"server.py": _SERVER}),
        PastCommit("Test the catalogue", {"tests/__init__.py": "", "tests/test_catalogue.py": _TEST_CATALOGUE}),
        PastCommit(
            "Say how to run it",
            {"README.md": "# api\n\nThe shop's books, as JSON: `python server.py`. Tests: `python -m unittest`.\n"},
        ),
    ),
    "web": (
        PastCommit("Begin the page", {"README.md": "# web\n\nThe shop's page.\n", "index.html": _PAGE}),
        PastCommit("Show the books of the api", {"shop.js": _SCRIPT}),
        PastCommit("Give the page a look", {"style.css": _STYLE}),
    ),
}
"""The repositories by name, and their commits in order."""


# --- the tickets ---

TICKETS = (
    StoryTicket(
        "SHOP-1",
        "Find books by title or author",
        ("search", "api", "web"),
        """\
People ask for a book by half of its title, or by who wrote it. Let them type that.

- **api**: `/search?q=le guin` answers the books whose title or author has every word, in any case.
- **web**: a search field above the list; the list follows what is typed.
- Both have a test.
""",
    ),
    StoryTicket(
        "SHOP-2",
        "Mark books that are sold out",
        ("stock", "api", "web"),
        """\
A book without a copy left can still be seen, but nobody should hope for it.

- **api**: each book says `soldOut`, which is true when there are no copies.
- **web**: such a book is shown struck through.
- Both have a test.
""",
    ),
)


# --- the work ---

_SEARCH = '''\
    return next((book for book in BOOKS if book["id"] == number), None)


def search(words):
    """Return the books whose title or author has every word."""
    wanted = words.lower().split()
    return [book for book in books() if all(map(_text(book).count, wanted))]


def _text(book):
    return f"{book['title']} {book['author']}".lower()
'''

_TEST_SEARCH = """\
import unittest

import catalogue


class Search(unittest.TestCase):
    def test_every_word_counts_in_any_case(self):
        (found,) = catalogue.search("le guin DARK")
        self.assertEqual(found["id"], 1)

    def test_what_nobody_wrote_is_not_found(self):
        self.assertEqual(catalogue.search("borges"), [])
"""

_TEST_SOLD_OUT = """\
import unittest

import catalogue


class SoldOut(unittest.TestCase):
    def test_a_book_without_copies_is_sold_out(self):
        (sold_out,) = [book for book in catalogue.books() if book["soldOut"]]
        self.assertEqual(sold_out["copies"], 0)
"""

_WEB_TEST_SEARCH = """\
import { test, expect } from "./browser.js";

test("the list follows what is typed", async (page) => {
  await page.type("#search", "calvino");
  expect(page.items()).toEqual(["Invisible Cities, Italo Calvino"]);
});
"""

_WEB_TEST_SOLD_OUT = """\
import { test, expect } from "./browser.js";

test("a book that is sold out is struck through", async (page) => {
  expect(page.items(".sold-out")).toEqual(["Invisible Cities, Italo Calvino"]);
});
"""

_UNIT_TESTS = ("-B", "-m", "unittest", "-q")  # -B: a worktree stays as clean as it was

WORK: Mapping[tuple[str, str], tuple[Change, ...]] = {
    ("SHOP-1", "coder"): (
        Change(
            "api",
            "A search over title and author, and a route for it.",
            (
                Edit(
                    "catalogue.py",
                    '    return next((book for book in BOOKS if book["id"] == number), None)\n',
                    _SEARCH,
                ),
                Edit(
                    "server.py",
                    '    "/books": lambda query: catalogue.books(),\n',
                    '    "/books": lambda query: catalogue.books(),\n'
                    '    "/search": lambda query: catalogue.search(" ".join(query.get("q", []))),\n',
                ),
            ),
            "Search by title and author",
            "api answers /search",
            check=_UNIT_TESTS,
            dies=True,
        ),
        Change(
            "web",
            "A field above the list, and the list follows it.",
            (
                Edit(
                    "index.html",
                    '    <ul id="books"></ul>\n',
                    '    <input id="search" type="search" placeholder="Title or author">\n    <ul id="books"></ul>\n',
                ),
                Edit(
                    "shop.js",
                    "\nshow();\n",
                    '\ndocument.querySelector("#search").addEventListener("input", (event) =>\n'
                    "  show(`/search?q=${encodeURIComponent(event.target.value)}`));\n\nshow();\n",
                ),
            ),
            "Search while typing",
            "web has a search field",
        ),
    ),
    ("SHOP-1", "tester"): (
        Change(
            "api",
            "Two words, one of them in capitals, and one that nobody wrote.",
            (Edit("tests/test_search.py", None, _TEST_SEARCH),),
            "Test the search",
            "api: the tests of the search pass",
            waits_for="Search by title and author",
            check=_UNIT_TESTS,
        ),
        Change(
            "web",
            "Type a name, look at the list.",
            (Edit("tests/search.test.js", None, _WEB_TEST_SEARCH),),
            "Test the search field",
            "web: the search field has a test",
            waits_for="Search while typing",
        ),
    ),
    ("SHOP-2", "coder"): (
        Change(
            "web",
            "A class for what is sold out, and a line through it.",
            (
                Edit(
                    "shop.js",
                    "  return item;\n",
                    '  item.classList.toggle("sold-out", book.soldOut);\n  return item;\n',
                ),
                Edit(
                    "style.css",
                    "li { line-height: 1.8; }\n",
                    "li { line-height: 1.8; }\n.sold-out { color: gray; text-decoration: line-through; }\n",
                ),
            ),
            "Strike out what is sold out",
            "web strikes out what is sold out",
            asks=Question(
                "How should a book look that is sold out?", ("struck through", "left out"), answer="struck through"
            ),
        ),
        Change(
            "api",
            "No copies, so sold out: each book says so.",
            (
                Edit(
                    "catalogue.py",
                    '    return sorted(BOOKS, key=lambda book: book["title"])\n',
                    '    marked = [{**book, "soldOut": book["copies"] == 0} for book in BOOKS]\n'
                    '    return sorted(marked, key=lambda book: book["title"])\n',
                ),
            ),
            "Say which books are sold out",
            "api says soldOut",
            check=_UNIT_TESTS,
        ),
    ),
    ("SHOP-2", "tester"): (
        Change(
            "web",
            "One book of three is sold out.",
            (Edit("tests/sold-out.test.js", None, _WEB_TEST_SOLD_OUT),),
            "Test the mark on books that are sold out",
            "web: the mark has a test",
            waits_for="Strike out what is sold out",
        ),
        Change(
            "api",
            "The catalogue has one without copies.",
            (Edit("tests/test_sold_out.py", None, _TEST_SOLD_OUT),),
            "Test which books are sold out",
            "api: the tests of what is sold out pass",
            waits_for="Say which books are sold out",
            check=_UNIT_TESTS,
        ),
    ),
}
"""What each agent does on each ticket, in order, by ticket and agent."""

AGENTS = tuple(dict.fromkeys(agent for _, agent in WORK))

ANSWERS = {change.asks.text: change.asks.answer for changes in WORK.values() for change in changes if change.asks}
"""What a person says to each question."""
