"""vLLM's prefix cache, block by block, under a benchmark whose points repeat their prompts.

Written 2026-11-27 from vLLM 0.32's vllm/v1/core/kv_cache_manager.py and block_pool.py: full blocks
of prompts are found again while their block has not been given away; blocks are given away in the
order in which they were left, and a request leaves its last block first. Plain Python, without the
project. The last token of a prompt is always computed, so its block never counts as found.

Each point of a sweep runs once a seed; seeds are the same at each point, so a seed's prompts are
those of the point before, and more. `found` gives how many prompts each run finds whole.
"""

from collections import OrderedDict, deque


def found(asked, told, sweep, kv_tokens, seeds=3, block=16):
    """Of each (concurrency, prompts) of a sweep: prompts found in the cache, for each seed."""
    left = OrderedDict((("empty", i), None) for i in range(kv_tokens // block - 1))
    whole, usable = asked // block, (asked - 1) // block
    answers = -(-(asked + told - 1) // block) - whole
    names = iter(range(10**9))
    table = []
    for concurrency, prompts in sweep:
        hits = []
        for seed in range(seeds):
            running, count = deque(), 0

            def finish(running=running):
                blocks = running.popleft()
                for _ in range(answers):
                    left.popitem(last=False)
                    blocks.append(("answer", next(names)))
                for one in reversed(blocks):
                    left[one] = None

            for request in range(prompts):
                while running and (len(running) >= concurrency or len(left) < whole + 2 * answers):
                    finish()
                blocks = []
                while len(blocks) < usable and (seed, request, len(blocks)) in left:
                    blocks.append((seed, request, len(blocks)))
                    del left[blocks[-1]]
                count += len(blocks) == usable
                for k in range(len(blocks), whole):
                    left.popitem(last=False)
                    if (seed, request, k) in left:  # held twice: the old one is nobody's now
                        del left[seed, request, k]
                        left["nobody", next(names)] = None
                    blocks.append((seed, request, k))
                running.append(blocks)
            while running:
                finish()
            hits.append(count)
        table.append(hits)
    return table


if __name__ == "__main__":
    for lengths in ((128, 128), (128, 1024), (1024, 128)):
        points = [(c, max(50, 5 * c)) for c in (1, 4, 16, 32, 64, 128)]
        print(lengths, found(*lengths, points, 377_024))
