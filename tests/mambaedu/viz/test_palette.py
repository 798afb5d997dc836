"""The colours stand out, for every kind of colour vision."""

import itertools

import pytest

from mambaedu.viz.palette import DARK, LIGHT, contrast, css

# How a colour looks to a person without red-, green- or blue-sensitive cones: linear RGB -> linear RGB.
# Source: Machado, Oliveira and Fernandes (2009), severity 1.
BLINDNESS = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def lab(rgb):
    """CIE Lab, where a distance of about 10 is plainly seen."""
    r, g, b = (min(max(c, 0), 1) for c in rgb)
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    f = [c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in xyz]
    return (116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2]))


def test_contrast_knows_the_two_extremes():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_has_contrast_3_on_its_background(palette):
    low = {role: c for role, c in palette.data_colors().items() if contrast(c, palette.background) < 3}
    assert not low


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_contrast_7(palette):
    assert contrast(palette.text, palette.background) >= 7


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("kind", BLINDNESS)
def test_input_state_and_output_differ_for_every_kind_of_colour_vision(palette, kind):
    seen = {}
    for role in ("input", "state", "output"):
        rgb = linear(getattr(palette, role))
        seen[role] = lab([sum(m * c for m, c in zip(row, rgb, strict=True)) for row in BLINDNESS[kind]])
    for one, two in itertools.combinations(seen, 2):
        distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[two], strict=True)) ** 0.5
        assert distance > 15, f"{one} and {two} look alike with {kind}: {distance:.1f}"


def test_css_holds_both_palettes():
    text = css()
    for palette in (LIGHT, DARK):
        for role, color in palette.data_colors().items():
            assert f"--mx-{role}:{color};" in text
