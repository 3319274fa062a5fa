"""See `bench.families.closures`."""

FAMILY = "closures"


def test_step(measured):
    measured()
