"""The project's benchmarks: `trivox bench NAME`.

A bench is a module with `run(full: bool) -> Result`; `full` asks for the long form where there is one. To add one,
write the module with the helpers of `trivox.bench.harness` and enter it in BENCHES. It passes or fails at a fixed
ratio to a peer that runs in the same process, never at an absolute time.
"""

from trivox.bench.harness import Bench

BENCHES = {
    bench.name: bench
    for bench in (
        Bench(
            "self-check",
            "the harness itself: 100 products of small matrices against the same 100, ratio 1",
            "trivox.bench.self_check",
        ),
    )
}
