"""English sentences: in one file, and from there in the pages."""

from __future__ import annotations

import re

import pytest

from bff.pages.routes import BY_MODE, FOLDER, MODES, WORDS, load
from bff.pages.words import filled, only, sentences

# The sentences themselves; and a module for other UIs, whose errors programmers read.
ELSEWHERE = (WORDS, "session.js")
# What is no sentence: product names in tags, signs, and what only screens see.
TEXT = re.compile(r">([^<>]*)<")
SAID = re.compile(r'\b(?:placeholder|aria-label|title|alt)="([^"]*)"')
COMMENT = re.compile(r"<!--.*?-->|<!doctype[^>]*>", re.DOTALL)
PLACE = re.compile(r"\{\{[\w.]+\}\}")
# Strings of scripts that read like a sentence: two words, or what ends one.
QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')
SENTENCE = re.compile(r"[A-Z][a-z]+ [a-z]+|[a-z]+ [a-z]+ [a-z]+[.?!…]")
JS_COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)


def test_a_page_gets_its_sentences_and_no_markup_with_them() -> None:
    script = 'export const pages = {\n  "a": {"b": "<b> & \\"c\\""}\n};\n}; 1'
    words = sentences(script)
    page = '<p title="{{a.b}}">{{a.b}}</p>'
    said = "&lt;b&gt; &amp; &quot;c&quot;"
    assert filled(page, words) == f'<p title="{said}">{said}</p>'
    for unknown in ("{{a.x}}", "{{x}}"):
        with pytest.raises(KeyError):
            filled(unknown, words)


def test_sentences_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(ValueError, match="no sentences"):
        sentences("export const strings = {};")
    with pytest.raises(ValueError, match="Expecting"):
        sentences("export const pages = {\n  one: 1\n};")


def test_a_part_is_shown_in_its_modes_only() -> None:
    page = "1<!-- if one two --> 2<!-- end --><!-- if two -->3<!-- end -->4"
    assert [only(page, mode) for mode in ("one", "two", "off")] == ["124", "1234", "14"]


def test_no_page_is_served_with_a_place_left_open() -> None:
    for name, file in load().items():
        if name.endswith(".html"):
            assert b"{{" not in file.body, name
    for name in BY_MODE:
        for mode in MODES:
            assert b"<!--" not in load()[f"{mode}/{name}"].body


def test_pages_hold_no_sentences_of_their_own() -> None:
    for page in FOLDER.glob("*.html"):
        text = COMMENT.sub("", page.read_text(encoding="utf-8"))
        found = TEXT.findall(text) + SAID.findall(text)
        left = [PLACE.sub("", one).strip(" ,·…\n") for one in found]
        assert [one for one in left if one] == [], page.name


def test_scripts_hold_no_sentences_of_their_own() -> None:
    for script in FOLDER.rglob("*.js"):
        if script.name in ELSEWHERE:
            continue
        code = JS_COMMENT.sub("", script.read_text(encoding="utf-8"))
        quoted = [one or other for one, other in QUOTED.findall(code)]
        assert [one for one in quoted if SENTENCE.search(one)] == [], script
