"""A tokenizer of numbered words, for models whose own is not at hand.

Word ``w17`` is token 17, and text is words with blanks between. So a prompt of n random words is
n tokens, exactly, through any tokenizer library; what the words mean is nothing to a clock.
"""

import json
from pathlib import Path


def write(folder: Path, vocabulary: int) -> Path:
    """Put ``tokenizer.json`` and its settings into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {f"w{i}": i for i in range(vocabulary)}
    end = f"w{vocabulary - 1}"
    special = {"id": vocabulary - 1, "content": end, "single_word": False, "lstrip": False,
               "rstrip": False, "normalized": False, "special": True}  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special],
        "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
        "decoder": None, "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    }  # fmt: skip
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "pad_token": end,
        "unk_token": "w0", "clean_up_tokenization_spaces": False, "model_max_length": 10**9,
        "chat_template": "{% for m in messages %}{{ m['content'] }} {% endfor %}",
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
