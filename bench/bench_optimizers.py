"""See `bench.families.optimizers`."""

FAMILY = "optimizers"


def test_step(measured):
    measured()
