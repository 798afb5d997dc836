"""The selective scan, readable.

Three shelves, in the order of the book:

    mathematics   discretize, linear_scan, selective_scan, causal_conv1d, convolution
    exercises     check: is my answer right?
    laboratory    lab: what experiments and tests are made of (records, traffic, testing)
    pictures      viz: figures and explorables

One idea carries the whole: every model here is a linear scan, h_t = a_t h_{t-1} + b_t, with its own choice of a and b.
"""

from . import backends, compat, convolution, discretize
from .causal_conv1d import causal_conv1d, causal_conv1d_step
from .check import check
from .linear_scan import linear_scan
from .selective_scan import selective_scan, selective_scan_step

__version__ = "0.1.0"

__all__ = [
    "backends",
    "causal_conv1d",
    "causal_conv1d_step",
    "check",
    "compat",
    "convolution",
    "discretize",
    "linear_scan",
    "selective_scan",
    "selective_scan_step",
]
