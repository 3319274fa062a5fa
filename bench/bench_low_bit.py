"""See `bench.families.low_bit`."""

FAMILY = "low-bit"


def test_step(measured):
    measured()
