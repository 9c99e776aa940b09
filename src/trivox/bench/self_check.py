"""Whether the harness can tell equal from unequal on this machine: it times the same work three times over."""

import torch

from trivox.bench.harness import Result, interleaved, ratio

SIDE = 96
PRODUCTS = 400
TOLERANCE = 1.15


def run(full: bool) -> Result:
    """Two sides of equal work and one of twice as much; the ratios should be 1 and 2."""
    matrix = torch.eye(SIDE)

    def products(count: int) -> None:
        for _ in range(count):
            matrix @ matrix

    sides = interleaved(
        {
            "one": lambda: products(PRODUCTS),
            "same": lambda: products(PRODUCTS),
            "double": lambda: products(2 * PRODUCTS),
        },
        repeats=25 if full else 9,
    )
    same, double = ratio(sides["same"], sides["one"]), ratio(sides["double"], sides["one"])
    return Result(
        name="self-check",
        ratio_to_peer={"same": same, "double": double},
        ratio_to_limit=None,
        passed=all(1 / TOLERANCE < found < TOLERANCE for found in (same, double / 2)),
        threshold=f"1 and 2 within a factor of {TOLERANCE}",
        terms={},
        sizes={"side": SIDE, "products": PRODUCTS},
        sides=sides,
    )
