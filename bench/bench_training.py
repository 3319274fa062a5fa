"""See `bench.families.training`."""

FAMILY = "training"


def test_steps(measured):
    measured()
