"""How long one step of an inference engine takes, and what it moves and computes.

A step feeds some new tokens of some sequences through the model: one each for those that decode, a
chunk of the prompt for those that prefill. The weights are read once a step, the KV cache of each
sequence once, and every new token costs its arithmetic. Both models of this folder, the fluid one
(`serving`) and the one of single requests (`events`), stand on this one law.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

Number = Float[Array, "*sat"]


class Work(eqx.Module):
    """What one engine step holds, or a mean over steps."""

    sequences: Number  # that are given tokens in the step
    tokens: Number  # new ones: one for each decode, a chunk for each prefill
    context: Number  # tokens whose keys and values are read, over the sequences
    pairs: Number  # (new token, token it attends to), over the sequences


class EngineLaw(eqx.Module):
    """The step time of a profile: overhead, and memory or compute, whichever is slower.

    The sharp maximum is optimistic near the knee, where a real device overlaps imperfectly. From a
    payload profile's step model: `overhead` is t0_s, `weight_bytes` is weight_bytes_read_per_step,
    `kv_bytes` is kv_bytes_per_token, `token_flop` is flop_per_token; `pair_flop` is 0 where the
    profile counts attention within flop_per_token, else 4 x layers x heads x head_dim.

    Source: the roofline of Williams, Waterman & Patterson, CACM 52 (2009) 65, applied to one step;
    the numbers are the profile's (assets/schemas/profile-1.json).
    """

    overhead: Number  # s, a step
    sequence_overhead: Number  # s, a sequence and step: sampling, bookkeeping
    weight_bytes: Number
    kv_bytes: Number  # a token of context
    bandwidth: Number  # bytes/s
    token_flop: Number  # a new token
    pair_flop: Number  # a new token and each token it attends to
    compute: Number  # FLOP/s

    @classmethod
    def of(
        cls,
        overhead: float,
        *,
        sequence_overhead: float = 0.0,
        weight_bytes: float = 0.0,
        kv_bytes: float = 0.0,
        bandwidth: float = 1.0,
        token_flop: float = 0.0,
        pair_flop: float = 0.0,
        compute: float = 1.0,
    ) -> "EngineLaw":
        """From plain numbers. What is left out costs nothing: a fixed time a step remains."""
        values = (
            overhead, sequence_overhead, weight_bytes, kv_bytes, bandwidth, token_flop, pair_flop,
            compute,
        )  # fmt: skip
        return cls(*(jnp.asarray(value, float) for value in values))

    def bytes(self, work: Work) -> Number:
        """Bytes that a step reads."""
        return self.weight_bytes + self.kv_bytes * work.context

    def flop(self, work: Work) -> Number:
        """Arithmetic of a step."""
        return self.token_flop * work.tokens + self.pair_flop * work.pairs

    def memory_time(self, work: Work) -> Number:
        """Time in which memory gives what a step reads."""
        return self.bytes(work) / self.bandwidth

    def compute_time(self, work: Work) -> Number:
        """Time of a step's arithmetic."""
        return self.flop(work) / self.compute

    def fixed_time(self, work: Work) -> Number:
        """Time of a step that neither memory nor arithmetic explains."""
        return self.overhead + self.sequence_overhead * work.sequences

    def step_time(self, work: Work) -> Number:
        """Time of a step."""
        slower = jnp.maximum(self.memory_time(work), self.compute_time(work))
        return self.fixed_time(work) + slower
