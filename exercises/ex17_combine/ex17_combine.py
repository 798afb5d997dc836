"""Exercise 17: two steps of h_t = a_t h_{t-1} + b_t as one, and a scan made of that. README.md has the formula and a picture."""

try:  # Triton exists for Linux only; part (a) does without it
    import triton
    import triton.language as tl
except ImportError:
    triton = None

# ---- (a) the operator --------------------------------------------------------------------------------------------

# The pair (a, b) of the step that changes nothing: h -> h.
IDENTITY = None


def combine(left, right):
    """The one step that does what `left` and then `right` do. A step is a pair (a, b) and means h -> a h + b.

    Args:
        left: (a_left, b_left), the earlier step.
        right: (a_right, b_right), the later step.

    Returns:
        The pair (a, b) of both steps together.
    """
    raise NotImplementedError("exercise 17 (a): return the pair (a, b) of left and then right, and set IDENTITY")


# ---- (b) the kernel ----------------------------------------------------------------------------------------------

if triton is not None:
    combine_in_kernel = triton.jit(combine)

    @triton.jit
    def combine_flat(a_left, b_left, a_right, b_right):
        """Given: `combine` as tl.associative_scan calls it, with four values and not two pairs."""
        return combine_in_kernel((a_left, b_left), (a_right, b_right))

    @triton.jit
    def scan_channel(a_ptr, b_ptr, h_ptr, l, BLOCK_L: tl.constexpr):
        """Write h_t = a_t h_{t-1} + b_t for one channel, from h = 0. One program, one tile.

        Args:
            a_ptr, b_ptr: l numbers each, one after the other in memory.
            h_ptr: room for l numbers; what lies behind them is not yours.
            l: the length.
            BLOCK_L: the size of the tile, a power of two, at least l.
        """
        raise NotImplementedError(
            "exercise 17 (b): load the tiles of a and b once, scan them with combine_flat, store h once"
        )
