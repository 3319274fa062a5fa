"""See `bench.families.lists`."""

FAMILY = "lists"


def test_step(measured):
    measured()
