"""See `bench.families.losses`."""

FAMILY = "losses"


def test_loss(measured):
    measured()
