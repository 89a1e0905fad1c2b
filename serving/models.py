"""Shapes of models, as facts: what their parameters, their cache and their steps weigh.

A shipped model is ``assets/models/<name>.json``; a folder with a ``config.json`` will do as well.
Source: the config.json of each model, and the parameter counts on its card.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from serving.problem import UsageProblem, nearest

# Bytes of one weight or one value of the cache; int4 without its scales.
BYTES = {
    "float32": 4.0, "fp32": 4.0, "bfloat16": 2.0, "bf16": 2.0, "float16": 2.0, "fp16": 2.0,
    "fp8": 1.0, "int8": 1.0, "int4": 0.5,
}  # fmt: skip


def short(precision: str) -> str:
    """One spelling: bf16 for bfloat16, and so on."""
    return {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}.get(precision, precision)


def bytes_of(precision: str) -> float:
    """Bytes of one number; ``int4-awq`` counts as int4."""
    size = BYTES.get(precision.split("-")[0].lower())
    if size is None:
        raise UsageProblem("precision", repr(precision), ", ".join(BYTES))
    return size


class Model(BaseModel):
    """One decoder of the Qwen3 kind: grouped-query attention, gated MLP or a mixture of experts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    hf_id: str = ""
    hidden_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    intermediate_size: PositiveInt
    vocab_size: PositiveInt
    tied: bool
    experts: int = 0
    experts_per_token: int = 0
    moe_intermediate_size: int = 0
    max_position: PositiveInt
    published_parameters: float | None = None
    published_non_embedding: float | None = None
    source: str = ""

    @property
    def attention_parameters(self) -> int:
        """Of one layer: projections, and the norms of queries and keys."""
        wide, narrow = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return 2 * self.hidden_size * (wide + narrow) + 2 * self.head_dim

    def mlp_parameters(self, experts: int | None = None) -> int:
        """Of one layer, with so many of its experts (default: all) and their router."""
        if not self.experts:
            return 3 * self.hidden_size * self.intermediate_size
        count = self.experts if experts is None else experts
        each = 3 * self.hidden_size * self.moe_intermediate_size
        return count * each + self.hidden_size * self.experts

    def non_embedding_parameters(self, experts: int | None = None) -> int:
        """All but the token tables."""
        layer = self.attention_parameters + self.mlp_parameters(experts) + 2 * self.hidden_size
        return self.layers * layer + self.hidden_size

    @property
    def embedding_parameters(self) -> int:
        """The tables of tokens: one where it is tied, else two."""
        return (1 if self.tied else 2) * self.vocab_size * self.hidden_size

    def parameters(self) -> int:
        """All of them, each once."""
        return self.non_embedding_parameters() + self.embedding_parameters

    def active_parameters(self) -> int:
        """Those that one token uses: its experts only."""
        chosen = self.experts_per_token if self.experts else None
        return self.non_embedding_parameters(chosen) + self.embedding_parameters

    def weight_bytes(self, precision: str) -> float:
        """The weights as stored, all in one precision."""
        return self.parameters() * bytes_of(precision)

    def kv_bytes_per_token(self, dtype: str) -> float:
        """Keys and values of one token, all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_of(dtype)

    def decode_flop(self, context: float) -> float:
        """One token after ``context`` others: two a weight used, and the scores and their sum."""
        chosen = self.experts_per_token if self.experts else None
        used = self.non_embedding_parameters(chosen) + self.vocab_size * self.hidden_size
        return 2.0 * used + 4.0 * self.layers * self.heads * self.head_dim * context

    def prefill_flop(self, length: float) -> float:
        """A prompt: as decoding, with half the length as mean context, and one row of logits."""
        chosen = self.experts_per_token if self.experts else None
        weights = 2.0 * self.non_embedding_parameters(chosen) * length
        attention = 2.0 * self.layers * self.heads * self.head_dim * length**2
        return weights + attention + 2.0 * self.vocab_size * self.hidden_size

    def config(self) -> dict[str, Any]:
        """The ``config.json`` that vLLM reads."""
        last = self.vocab_size - 1
        said: dict[str, Any] = {
            "architectures": ["Qwen3MoeForCausalLM" if self.experts else "Qwen3ForCausalLM"],
            "model_type": "qwen3_moe" if self.experts else "qwen3",
            "hidden_size": self.hidden_size, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim, "intermediate_size": self.intermediate_size,
            "vocab_size": self.vocab_size, "tie_word_embeddings": self.tied,
            "max_position_embeddings": self.max_position, "hidden_act": "silu",
            "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "attention_bias": False,
            "attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True,
            "torch_dtype": "bfloat16",
            # Ids that lie within any vocabulary; real ones come with a real tokenizer.
            "bos_token_id": min(151_643, last), "eos_token_id": min(151_645, last),
        }  # fmt: skip
        if self.experts:
            said |= {
                "num_experts": self.experts, "num_experts_per_tok": self.experts_per_token,
                "moe_intermediate_size": self.moe_intermediate_size, "norm_topk_prob": True,
                "decoder_sparse_step": 1, "mlp_only_layers": [], "router_aux_loss_coef": 0.001,
                "output_router_logits": False,
            }  # fmt: skip
        return said


def known() -> tuple[str, ...]:
    """Names of the shipped models, small to large."""
    return tuple(sorted((m.name for m in _shipped()), key=lambda n: _read(n).parameters()))


def find(name: str) -> Model:
    """A shipped model by its name or its name at the hub; or a folder, or a file, of one's own.

    Raises:
        UsageProblem: there is none of this name, or its file cannot be read.
    """
    path = Path(name)
    if path.is_dir():
        return _from_config(path / "config.json", path.name)
    if path.suffix == ".json":
        return _from_config(path, path.parent.name if path.name == "config.json" else path.stem)
    short = name.rsplit("/", 1)[-1].lower()
    for model in _shipped():
        if short == model.name and ("/" not in name or name.lower() == model.hf_id.lower()):
            return model
    raise UsageProblem("MODEL", f"{name!r} is not known here, and no folder",
                       f"{', '.join(known())}, or a folder with config.json",
                       nearest(short, known()))  # fmt: skip


def of(name: str, shape: dict[str, Any] | None) -> Model:
    """A model of the `shape` that came with its figures; without one, the shipped one by `name`."""
    if not shape:
        return find(name)
    try:
        return Model.model_validate(shape)
    except ValidationError as error:
        raise _invalid(f"shape of {name}", error) from None


def _shipped() -> Iterator[Model]:
    for file in sorted(files("assets").joinpath("models").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".json"):
            yield Model.model_validate_json(file.read_text(encoding="utf-8"))


def _read(name: str) -> Model:
    file = files("assets").joinpath("models", f"{name}.json")
    return Model.model_validate_json(file.read_text(encoding="utf-8"))


def _from_config(path: Path, name: str) -> Model:
    """A Hugging Face ``config.json`` of the Qwen3 family, or a file of our own form."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if "model_type" not in said:
            return Model.model_validate(said)
        if said["model_type"] not in ("qwen3", "qwen3_moe"):
            raise UsageProblem(str(path), f"model_type is {said['model_type']!r}",
                               "qwen3, qwen3_moe")  # fmt: skip
        return Model(
            name=name.lower() or "model", hf_id="",
            hidden_size=said["hidden_size"], layers=said["num_hidden_layers"],
            heads=said["num_attention_heads"], kv_heads=said["num_key_value_heads"],
            head_dim=said.get("head_dim") or said["hidden_size"] // said["num_attention_heads"],
            intermediate_size=said["intermediate_size"], vocab_size=said["vocab_size"],
            tied=bool(said.get("tie_word_embeddings", False)),
            experts=said.get("num_experts", 0),
            experts_per_token=said.get("num_experts_per_tok", 0),
            moe_intermediate_size=said.get("moe_intermediate_size", 0),
            max_position=said["max_position_embeddings"], source=path.name,
        )  # fmt: skip
    except FileNotFoundError:
        raise UsageProblem("MODEL", f"{path} does not exist", "a folder with config.json") from None
    except KeyError as error:
        raise UsageProblem(str(path), f"has no {error.args[0]}") from None
    except ValidationError as error:
        raise _invalid(str(path), error) from None
    except (OSError, ValueError) as error:
        if isinstance(error, UsageProblem):
            raise
        raise UsageProblem(str(path), f"cannot be read: {error}", "JSON") from None


def _invalid(where: str, error: ValidationError) -> UsageProblem:
    first = error.errors()[0]
    said = f"{'.'.join(map(str, first['loc']))}: {first['msg']} (got {first['input']!r})"
    return UsageProblem(where, said[:200])
