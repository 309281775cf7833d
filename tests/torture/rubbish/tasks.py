"""Task files and scenarios that are wrong."""

from __future__ import annotations

from tests.torture.rubbish import Content, Rubbish

GOOD = """\
name: t
instruction: Name the team.
labels: [billing, delivery]
examples:
  - {input: charged twice, output: billing}
  - {input: parcel late, output: delivery}
"""
_WHOLE: dict[str, Content] = {
    "nothing": "",
    "white space": " \n\n\t\n",
    "a word": "hello",
    "a number": "17",
    "a list": "- a\n- b\n",
    "null": "null",
    "a tab for indentation": "name:\n\t- a",
    "an open bracket": "name: [a, b",
    "an open quote": 'name: "abc',
    "an open brace": "name: {a: b",
    "two documents": GOOD + "---\n" + GOOD,
    "an alias": "a: &a [1]\nb: *a\n",
    "a thousand laughs": "a: &a [x]\n"
    + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdef", "bcdefg", strict=True)),
    "a tag": "!!python/object/apply:os.system ['true']",
    "a custom tag": GOOD + "test: !env HOME\n",
    "a key that is a list": GOOD + "? [a, b]\n: c\n",
    "a key twice": GOOD + "name: u\n",
    "a merge key": GOOD + "<<: {seed: 1}\n",
    "nested a thousand deep": "name: " + "[" * 1000 + "]" * 1000,
    "nested a hundred thousand deep": "[" * 100_000,
    "braces without end": "{a: " * 5000,
    "a zero byte": GOOD.replace("team", "te\0am"),
    "a control character": GOOD.replace("team", "te\x07am"),
    "Latin-1": GOOD.replace("team", "équipe").encode("latin-1"),
    "UTF-16": GOOD.encode("utf-16"),
    "random bytes": bytes(range(256)) * 10,
    "gzip": b"\x1f\x8b\x08\x00" + bytes(100),
    "six megabytes": "# " + "x" * 6_000_000 + "\n" + GOOD,
    "half a surrogate pair": GOOD.replace("Name the team.", '"\\ud800"'),
    "JSON cut off": '{"name": "t", "instruction": "x"',
    "HTML": "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
}
_ADDED = {
    "an unknown key": "instructions: x",
    "a misspelt key": "modell: x",
    "an unknown section's key": "training: {epoch: 3}",
    "a section that is a word": "training: yes",
    "a section that is a list": "training: [1]",
    "no epochs": "training: {epochs: 0}",
    "negative epochs": "training: {epochs: -1}",
    "epochs in words": "training: {epochs: three}",
    "half an epoch": "training: {epochs: 1.5}",
    "epochs without end": "training: {epochs: .inf}",
    "epochs of forty digits": f"training: {{epochs: {'9' * 40}}}",
    "epochs of five thousand digits": f"training: {{epochs: {'9' * 5000}}}",
    "a rate that is no number": "training: {learning_rate: .nan}",
    "a negative rate": "training: {learning_rate: -1}",
    "all held out": "training: {holdout_share: 1}",
    "a seed that is too large": "seed: 99999999999999",
    "a negative seed": "seed: -1",
    "no seeds": "seeds: 0",
    "an unknown recipe": "recipe: magic",
    "an unknown metric": "metric: best",
    "a metric for free text": "metric: bleu",
    "an unknown baseline": "evaluation: {baselines: [nothing]}",
    "an unknown engine": "engine: {kind: magic}",
    "an unknown precision": "engine: {dtype: int4}",
    "a pool beside a train file": "pool: a.jsonl\ntrain: b.jsonl",
    "instead of nothing": "train_use: instead",
    "a test that is not there": "test: none.jsonl",
    "a test that is a folder": "test: .",
    "a test of a format nobody knows": "test: task.yaml",
    "a test with a zero byte": 'test: "a\\0.jsonl"',
    "a test with a long name": f"test: {'a' * 5000}.jsonl",
    "a test at an unknown URL": "test: gopher://example.invalid/a.jsonl",
    "a test at a user's home that is not there": "test: ~nobody_here/a.jsonl",
    "a test that is a list": "test: [a.jsonl]",
    "rows selected by a list": "test_where: [a]",
    "a promise of more than all": "abstain: {accuracy: 1.5}",
    "a ship that is a list": "ship: [a, b]",
    "a tolerance that is a word": "ship: {tolerance: much}",
    "a price that is negative": "prices: {machine_hour: -1}",
}
_REPLACED = {
    "no name": ("name: t\n", ""),
    "an empty name": ("name: t\n", "name: ''\n"),
    "a name that is a path": ("name: t\n", "name: ../t\n"),
    "a name that is a root": ("name: t\n", "name: /t\n"),
    "a long name": ("name: t\n", f"name: {'t' * 300}\n"),
    "no instruction": ("instruction: Name the team.\n", ""),
    "an empty instruction": ("Name the team.", "''"),
    "an instruction that is a list": ("Name the team.", "[a]"),
    "one label": ("[billing, delivery]", "[billing]"),
    "a label twice": ("[billing, delivery]", "[billing, delivery, billing]"),
    "an empty label": ("[billing, delivery]", "[billing, delivery, '']"),
    "labels that are a word": ("[billing, delivery]", "billing"),
    "labels in a mapping": ("[billing, delivery]", "{billing: 1, delivery: 2}"),
    "no examples": (GOOD[GOOD.index("examples") :], "examples: []\n"),
    "examples that are words": (GOOD[GOOD.index("examples") :], "examples: [a, b]\n"),
    "an example without an answer": ("{input: charged twice, output: billing}", "{input: charged twice}"),
    "an example with an empty input": ("input: charged twice", "input: ''"),
    "an example of another label": ("output: billing", "output: sales"),
    "an example with more keys": ("output: billing", "output: billing, note: x"),
}
_OVERRIDES = (
    "training",
    "training.epochs",
    "=3",
    "training.epochs=",
    "training.epochs=[",
    "training.epochs.more=1",
    "nothing=1",
    "..=1",
    "labels[0]=x",
    "training.epochs=1e400",
    "name=../../x",
)
_MIXTURE = "name: m\ntasks: {t: }\n"
_MIXTURES: dict[str, Content] = {
    "nothing": "",
    "a list": "- a\n",
    "no tasks": "name: m\n",
    "empty tasks": "name: m\ntasks: {}\n",
    "tasks that are a list": "name: m\ntasks: [t]\n",
    "a task that is not there": "name: m\ntasks: {u: }\n",
    "a task outside the folder": "name: m\ntasks: {../t: }\n",
    "a task at the root": "name: m\ntasks: {/etc/passwd: }\n",
    "an unknown key": _MIXTURE + "rows_: 3\n",
    "no rows": _MIXTURE + "rows: 0\n",
    "negative rows": _MIXTURE + "rows: -3\n",
    "rows in words": _MIXTURE + "rows: many\n",
    "a negative share": "name: m\ntasks: {t: {unchanged: -1}}\n",
    "a share above all": "name: m\ntasks: {t: {unchanged: 7}}\n",
    "a task's unknown key": "name: m\ntasks: {t: {weight_: 1}}\n",
    "a task that is a word": "name: m\ntasks: {t: yes}\n",
    "adapters nobody knows": _MIXTURE + "adapters: many\n",
    "a name that is a path": _MIXTURE.replace("name: m", "name: ../m"),
    "an alias": "name: &n m\ntasks: {t: *n}\n",
    "Latin-1": _MIXTURE.replace("name: m", "name: é").encode("latin-1"),
}


def _validate(name: str, text: Content, *overrides: str) -> Rubbish:
    return Rubbish(f"task file: {name}", ("validate", "{here}/task.yaml", *overrides), {"task.yaml": text})


def _scenario(name: str, mixture: Content, task: str) -> Rubbish:
    return Rubbish(f"scenario: {name}", ("validate", "{here}"), {"mixture.yaml": mixture, "t.yaml": task})


def all_tasks() -> list[Rubbish]:
    """Return the wrong task files and scenarios."""
    found = [_validate(name, text) for name, text in _WHOLE.items()]
    found += [_validate(name, f"{GOOD}{text}\n") for name, text in _ADDED.items()]
    found += [_validate(name, GOOD.replace(*change)) for name, change in _REPLACED.items()]
    found += [_validate(f"overridden by {text}", GOOD, text) for text in _OVERRIDES]
    found += [_scenario(name, text, GOOD) for name, text in _MIXTURES.items()]
    found.append(_scenario("a task that is wrong", _MIXTURE, "x"))
    found.append(_scenario("data that is not there", _MIXTURE + "data: none.jsonl\n", GOOD + "train_where: {a: b}\n"))
    return found
