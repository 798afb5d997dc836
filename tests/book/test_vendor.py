"""What we carry of others is what it was: every file of MathJax has the hash that VERSION names."""

import hashlib

import project

MATHJAX = project.BOOK / "_vendor" / "mathjax"


def test_every_file_has_its_hash():
    named = {}
    for line in (MATHJAX / "VERSION").read_text().splitlines()[3:]:
        digest, path = line.split()
        named[path] = digest
    found = {path.relative_to(MATHJAX).as_posix() for path in MATHJAX.rglob("*") if path.is_file()} - {"VERSION"}
    assert found == set(named)
    for path, digest in named.items():
        assert hashlib.sha256((MATHJAX / path).read_bytes()).hexdigest() == digest, path


def test_it_says_which_version_it_is():
    assert "MathJax 3.2.2" in (MATHJAX / "VERSION").read_text()
    assert '"3.2.2"' in (MATHJAX / "tex-mml-chtml.js").read_text()


def test_the_licence_came_along():
    assert "Apache License" in (MATHJAX / "LICENSE").read_text()
