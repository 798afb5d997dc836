"""Every image says in words what it shows."""

import bookext
import pytest


@pytest.mark.book
def test_every_image_has_alt_text(site):
    silent = [
        (name, image.get("src", "")[:60])
        for name, page in site.items()
        for image in page.images
        if not image.get("alt", "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ('<img src="a.png" alt="a curve">', True),
        ("<img alt='a curve' src=a.png>", True),
        ('<img src="a.png">', False),
        ('<img src="a.png" alt="">', False),
        ('<img src="a.png" alt="  ">', False),
    ],
)
def test_the_build_sees_a_missing_text(image, good):
    assert bool(bookext.ALT.search(image)) is good
