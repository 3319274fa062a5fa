"""See `bench.families.tensors`."""

FAMILY = "tensors"


def test_step(measured):
    measured()
