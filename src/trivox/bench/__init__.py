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
            "annotation-load",
            "50 annotators against a real server that is killed halfway; p95 of a vote within 200 ms",
            "trivox.bench.annotation_load",
        ),
        Bench(
            "annotation-page",
            "a real browser: page ready, and sound after a key, each within 300 ms on loopback",
            "trivox.bench.annotation_page",
        ),
        Bench(
            "dashboard",
            "B12: reruns of the dashboards' pages with another filter and from memory; --full: 80 million scores",
            "trivox.bench.dashboard",
        ),
        Bench(
            "rollout-tokens",
            "B4: useful tokens/s of 128 rollouts of long-tailed lengths in 16 slots; against padded generate",
            "trivox.bench.rollout_tokens",
        ),
        Bench(
            "asr-rtfx",
            "B3: seconds of speech transcribed per second, encode and decode; against Whisper of like size",
            "trivox.bench.asr_rtfx",
        ),
        Bench(
            "round-step",
            "B5: samples a second of GRPO and DPO, rollouts included, and peak memory; against TRL's own loops",
            "trivox.bench.round_step",
        ),
        Bench(
            "judge-pairs",
            "B8: pairs judged a second, rubric computed once; against no reuse and 64 tokens of reasoning",
            "trivox.bench.judge_pairs",
        ),
        Bench(
            "store-ingest",
            "B9: judgements in bulk and durable single ones; against raw ADBC, sqlite3 and SQLAlchemy",
            "trivox.bench.store_ingest",
        ),
        Bench(
            "store-query",
            "B10: group-by, ids and differences over rollouts and judgements; against raw DuckDB and Polars",
            "trivox.bench.store_query",
        ),
        Bench(
            "data-travel",
            "datasets out and in twice: one hash, memory by the batch, three sizes; --full: a million judgements",
            "trivox.bench.data_travel",
        ),
        Bench(
            "weight-sync",
            "B6: a new adapter to all rollout workers; against save and reload, and Ray's put of the tensors",
            "trivox.bench.weight_sync",
        ),
        Bench(
            "orchestrator",
            "B11: what a pool costs beside tasks of 1, 10 and 100 ms; against bare Ray and ProcessPoolExecutor",
            "trivox.bench.orchestrator",
        ),
        Bench(
            "self-check",
            "the harness itself: 100 products of small matrices against the same 100, ratio 1",
            "trivox.bench.self_check",
        ),
        Bench(
            "mtp-speed",
            "transcripts several tokens a pass: own greedy decoding and transformers' prompt lookup beside it",
            "trivox.bench.mtp_speed",
        ),
        Bench(
            "mtp-exact",
            "whether verified decoding says and samples what ordinary decoding does, at three levels",
            "trivox.bench.mtp_exact",
        ),
        Bench(
            "first-audio",
            "B7: how soon a reply sounds: alone against its limit, live at 1, 8 and 32 sessions",
            "trivox.bench.first_audio",
        ),
    )
}
