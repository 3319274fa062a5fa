"""See `bench.families.low_bit`."""

FAMILY = "low_bit"


def test_step(measured):
    measured()
