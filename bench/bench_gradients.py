"""See `bench.families.gradients`."""

FAMILY = "gradients"


def test_gradient(measured):
    measured()
