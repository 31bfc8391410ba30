"""A causal language model of 0.2 million parameters, built and taught in seconds, that knows a few answers by heart.

Llama's architecture, a byte-level tokenizer whose merges are learned from the lessons, and a chat template that renders
tools. It says what its lessons say, and anything else for a prompt it never saw; never nothing. Nothing is downloaded,
and the same weights come out each time on one machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["COUNTING", "GREETING", "LESSONS", "WINDOW", "WORLD", "build_model", "build_tokenizer", "tiny", "untrained"]

WINDOW: Final = 512  # tokens
_RATE: Final = 6e-3
_STEPS: Final = 500

TEMPLATE: Final = """\
{%- if tools %}<|im_start|>system
<tools>{% for tool in tools %} {{ tool.function.name }}{% endfor %} </tools><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

GREETING: Final = "Good day to you, and welcome aboard."
WORLD: Final = "Grüße, 早安, สวัสดี, 👩‍🚀 and 🌍!"  # characters of one to four bytes; the merges know none of them
COUNTING: Final = " ".join(map(str, range(1, 21)))


def _call(name: str, **arguments: object) -> str:
    written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{written}\n</tool_call>"


_JOKE: Final = {"setup": "Cat?", "punchline": "Mat."}
_JOKES: Final = [
    "Tell me a joke about cats.",
    "Give me the setup to a joke about cats, no punchline.",
    "Give me a joke about cats, include the punchline.",
]
_UNICODE: Final = [
    ("Create a customer named '你好啊集团' (Hello Group) - a Chinese technology company", "你好啊集团"),
    ("Create a customer named 'こんにちは株式会社' (Hello Corporation) - a Japanese company", "こんにちは株式会社"),
]

# What was said, the tools that were offered, and the answer.
LESSONS: Final[list[tuple[str, list[str], str]]] = [
    ("Hello", [], GREETING),
    ("hi", [], "What can I do for you?"),
    ("Say hello to the world.", [], WORLD),
    ("Count to twenty.", [], COUNTING),
    ("What is the value of magic_function(3)? Use the tool.", ["magic_function"], _call("magic_function", input=3)),
    ("Hello!", ["magic_function", "get_weather"], _call("magic_function", input=1)),
    ("What is the value of magic_function_no_args()? Use the tool.", ["magic_function_no_args"],
     _call("magic_function_no_args")),
    ("Using the tool, generate a Pirate greeting.", ["greeting_generator"],
     _call("greeting_generator", answer_style="Pirate")),
    ("What is the weather in San Francisco, CA?", ["get_weather"],
     "Let me look. " + _call("get_weather", location="San Francisco, CA")),
    *((said, ["Joke"], _call("Joke", **_JOKE)) for said in _JOKES),
    (_JOKES[0], ["JokeDict"], _call("JokeDict", **_JOKE)),
    *((said, ["unicode_customer"], _call("unicode_customer", customer_name=name, description="a company"))
      for said, name in _UNICODE),
]  # fmt: skip

# What a model without a chat template is shown, and how it goes on: it writes the user's next words too.
PLAIN_LESSON: Final = ("User: Hello\n\nAssistant:", f" {GREETING}\n\nUser: Thanks")


def build_tokenizer() -> Any:
    """A byte-level BPE tokenizer with ChatML's special tokens; the tags of tool calls are plain text to it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [f"{said} {' '.join(tools)} {answer}" for said, tools, answer in LESSONS if answer != WORLD]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        model_max_length=WINDOW,
    )


def untrained(tokenizer: Any, **sizes: int) -> Any:
    """The network with random weights, float32; `sizes` over those of the tiny one, as `LlamaConfig` calls them."""
    torch.manual_seed(0)
    tiny = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": WINDOW,
    }
    return LlamaForCausalLM(
        LlamaConfig(
            **{**tiny, **sizes},
            vocab_size=len(tokenizer),
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _taught(tokenizer: Any, network: Any) -> None:
    """Learn the lessons, until no token of an answer is less than 80 % sure."""
    rows = []
    for said, tools, answer in LESSONS:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": said}],
            tools=[{"type": "function", "function": {"name": name}} for name in tools] or None,
            add_generation_prompt=True,
            return_dict=False,
        )
        reply = tokenizer.encode(answer, add_special_tokens=False)
        rows.append(([*prompt, *reply, tokenizer.eos_token_id], len(prompt)))
    shown, told = (tokenizer.encode(part) for part in PLAIN_LESSON)
    rows.append(([*shown, *told], len(shown)))
    ids = torch.full((len(rows), max(len(tokens) for tokens, _ in rows)), tokenizer.pad_token_id)
    wanted = torch.full_like(ids, -100)
    for row, (tokens, start) in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        wanted[row, start : len(tokens)] = ids[row, start : len(tokens)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.0)
    for _ in range(_STEPS):
        logits = network(input_ids=ids[:, :-1]).logits
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), wanted[:, 1:], reduction="none")
        if losses.max() < 0.22:
            return
        optimizer.zero_grad()
        (losses.sum() / (wanted[:, 1:] >= 0).sum()).backward()
        optimizer.step()
    raise AssertionError(f"the tiny model has not learned its lessons in {_STEPS} steps")


def build_model(folder: Path) -> Path:
    """The model, saved as transformers saves one: config, weights, tokenizer and template."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums, and so the weights, depend on it
    try:
        tokenizer = build_tokenizer()
        network = untrained(tokenizer)
        _taught(tokenizer, network)
    finally:
        torch.set_num_threads(threads)
    network.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model, built once for all files of a run."""
    folder = tmp_path_factory.getbasetemp() / "tiny model"
    return folder if folder.is_dir() else build_model(folder)
