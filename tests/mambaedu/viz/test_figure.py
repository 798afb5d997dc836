"""A static figure: two themes, two widths, words in place of the picture, names on the axes."""

import re
import subprocess
import sys

import pytest

from mambaedu.viz import figure
from mambaedu.viz.palette import DARK, LIGHT


def curve(fig, colors):
    ax = fig.subplots()
    ax.plot([0, 1, 2], [1.0, 0.5, 0.25], color=colors.state)
    ax.set(xlabel="step t", ylabel=r"state $\bar h$")


def test_both_themes_and_both_widths_are_drawn():
    drawn = []

    def draw(fig, colors):
        drawn.append((colors, fig.get_figwidth()))
        curve(fig, colors)

    figure(draw, alt="The state halves at each step.", size=(6, 3), narrow=(3, 3))
    assert drawn == [(LIGHT, 6), (DARK, 6), (LIGHT, 3), (DARK, 3)]


def test_the_page_gets_one_picture_a_theme_each_with_its_words():
    html = figure(curve, alt='Half & half, "again".').to_html()
    assert [html.count(f'<picture class="only-{theme}">') for theme in ("light", "dark")] == [1, 1]
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) == 2
    assert all('alt="Half &amp; half, &quot;again&quot;."' in image for image in images)
    assert len(set(re.findall(r'(?:src|srcset)="(data:[^"]+)"', html))) == 4


def test_the_caption_is_text_not_markup():
    assert "<figcaption>a &lt; b</figcaption>" in figure(curve, alt="a", caption="a < b").to_html()


@pytest.mark.parametrize("alt", ["", "  ", None])
def test_a_figure_without_words_is_refused(alt):
    with pytest.raises(ValueError, match="alt must say in words what the picture shows, got"):
        figure(curve, alt=alt)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_an_axis_without_a_name_is_refused_by_name(axis):
    def draw(fig, colors):
        first, second = fig.subplots(1, 2)
        first.set(xlabel="t", ylabel="h")
        second.set(xlabel="t", ylabel="h", title="right")
        getattr(second, f"set_{axis}label")("")

    with pytest.raises(ValueError, match=f"axes 1 'right' must have an? {axis} label"):
        figure(draw, alt="Two panels.")


def test_axes_that_are_switched_off_need_no_names():
    def draw(fig, colors):
        fig.subplots().set_axis_off()

    figure(draw, alt="A drawing without axes.")


def test_a_colour_bar_needs_one_name():
    def draw(fig, colors, label="size"):
        ax = fig.subplots()
        fig.colorbar(ax.imshow([[0, 1]]), label=label)
        ax.set(xlabel="t", ylabel="h")

    figure(draw, alt="A map.")
    with pytest.raises(ValueError, match="colour bar"):
        figure(lambda fig, colors: draw(fig, colors, label=""), alt="A map.")


def test_the_same_drawing_gives_the_same_bytes():
    assert figure(curve, alt="a").to_html() == figure(curve, alt="a").to_html()


def test_the_same_drawing_gives_the_same_bytes_in_another_process():
    program = """
import hashlib
from mambaedu.viz import figure
def draw(fig, colors):
    ax = fig.subplots()
    ax.plot([0, 1], [0, 1])
    ax.set(xlabel="t", ylabel="h")
print(hashlib.sha256(figure(draw, alt="a").to_html().encode()).hexdigest())
"""
    seen = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(seen) == 1


def test_a_figure_is_small():
    assert len(figure(curve, alt="a").to_html()) < 100_000


def test_text_keeps_its_size_on_a_phone():
    """10 point type in a picture 3.7 inches wide, shown 340 pixels wide, is 12.8 pixels high."""
    html = figure(curve, alt="a").to_html()
    assert '<source media="(max-width: 600px)"' in html
    points, inches, pixels = 10, 3.7, 340
    assert points / (inches * 72) * pixels >= 11


def test_a_failing_draw_fails_where_it_is_written():
    with pytest.raises(ZeroDivisionError):
        figure(lambda fig, colors: 1 / 0, alt="a")


def test_the_settings_of_matplotlib_stay_as_they_were():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figure(curve, alt="a")
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_loaded():
    """Pyplot chooses a backend, and with it the page's own inline figures would be gone."""
    program = """
import sys
from mambaedu.viz import figure, forgetting
figure(lambda fig, colors: fig.subplots().set_axis_off(), alt="a")
forgetting().to_html()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_import_needs_neither_matplotlib_nor_widgets():
    program = """
import sys
for name in ("matplotlib", "anywidget", "ipywidgets", "traitlets", "PIL", "IPython"):
    sys.modules[name] = None
import mambaedu.viz
"""
    subprocess.run([sys.executable, "-c", program], check=True)
