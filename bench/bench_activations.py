"""See `bench.families.activations`."""

FAMILY = "activations"


def test_activation(measured):
    measured()
