"""Numbers as a person says them."""

from __future__ import annotations


def percent(ratio: float) -> str:
    """0.03516 as "3.52 %"; small ratios keep three digits."""
    return f"{100 * ratio:.3g} %" if ratio < 10 else f"{100 * ratio:,.0f} %"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
