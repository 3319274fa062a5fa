"""Formats the numbers of the report: a dash if nothing was measured, and significant digits only."""

from math import floor, isfinite, log10

NOTHING = "-"
POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def known(value):
    """Return True for a finite number."""
    return isinstance(value, int | float) and isfinite(value)


def figures(value, digits=3):
    """Write a number with some significant digits, and its whole part in full: 0.0123, 1.23, 12.3, 1,230."""
    if not known(value):
        return NOTHING
    if value == 0:
        return "0"
    value = float(f"{value:.{digits - 1}e}")
    return f"{value:,.{max(0, digits - 1 - floor(log10(abs(value))))}f}"


def count(value):
    """Write a whole number: 10,000."""
    return f"{value:,.0f}" if known(value) else NOTHING


def power(value):
    """Write a size in few characters: 1e4, 3.2e7; below 1,000 in full."""
    if not known(value) or value < 1000:
        return count(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def superscript(exponent):
    """Write a power of ten: 10⁴."""
    return f"10{str(exponent).translate(POWERS)}"


def times(ratio):
    """Write a ratio: 0.93x, 1.04x, 5.2x, 120x; a ratio below 1 is never rounded to 1."""
    if not known(ratio):
        return NOTHING
    if ratio < 1:
        return f"{_below(ratio, 1)}x"
    return f"{ratio:.2f}x" if ratio < 1.995 else f"{ratio:.1f}x" if ratio < 9.95 else f"{count(float(f'{ratio:.1e}'))}x"


def part(share, enough):
    """Write a share of the ceiling: 0.97; a share below `enough` is never rounded to it."""
    if not known(share):
        return NOTHING
    return _below(share, enough) if share < enough else f"{share:.2f}"


def _below(value, limit):
    """Write a number with two digits after the point, or three where two would reach the limit."""
    if value < 0.1:
        return figures(value, 2)
    return f"{value:.2f}" if round(value, 2) < limit else f"{min(value, limit - 0.001):.3f}"


def duration(seconds):
    """Write seconds: 210 ns, 1.23 ms, 83.2 s, 40 min."""
    if not known(seconds):
        return NOTHING
    if seconds >= 120:
        return f"{figures(seconds / 60, 2)} min"
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 0.9995:
            return f"{figures(seconds * scale)} {unit}"
    return f"{figures(seconds * 1e9)} ns"


def amount(size):
    """Write bytes: 512 B, 48 KiB, 55 MiB."""
    if not known(size):
        return NOTHING
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}" if size < 100 * scale else f"{count(size / scale)} {unit}"
    return f"{count(size)} B"


def percent(part):
    """Write a fraction as a percentage: 4 %."""
    return f"{figures(100 * part, 1 if part < 0.1 else 2)} %" if known(part) else NOTHING


def ulps(error):
    """Write an error in units in the last place: 0.6, 44, 1e7."""
    return power(float(f"{error:.1e}")) if known(error) and error >= 1000 else figures(error, 2)
