"""`trivox policy export` as a function: a version with a card that says how to load it and where it comes from."""

from pathlib import Path
from typing import Any

from trivox.platform.errors import ConfigError
from trivox.platform.records import PolicyVersion
from trivox.platform.registry import lineage
from trivox.platform.store import Workspace
from trivox.policy.backbone import locate
from trivox.policy.trainers.exporting import BASE, export_adapter, export_merged

_MERGED = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```"""
_ADAPTER = f"""```python
from peft import PeftModel
from transformers import AutoModelForCausalLM
base = AutoModelForCausalLM.from_pretrained("FOLDER/{BASE}")
model = PeftModel.from_pretrained(base, "FOLDER")
```"""


def export(ws: Workspace, policy: PolicyVersion, out: Path, *, adapter: bool) -> dict[str, Any]:
    """Write a version to a new folder; adapter: as a peft adapter beside its language model, else as one model.

    What is exported is the language model over text and audio tokens, with token map and codec; who hears with it
    needs the backbone itself. Raises ConfigError for a backbone as adapter, and as the exporters do.
    """
    if adapter and policy.backbone is None:
        raise ConfigError(f"policy {policy.name} is a backbone: export it without --adapter")
    backbone = policy if policy.backbone is None else ws.records.get(PolicyVersion, policy.backbone)
    place = locate(backbone.artefact, ws.root)
    own = None if policy.backbone is None else locate(policy.artefact, ws.root)
    if adapter and own is not None:
        export_adapter(place, own, out)
    else:
        export_merged(place, own, out)
    ancestors = [one.name for one in lineage(ws, policy)]
    (out / "README.md").write_text(_card(policy, ancestors, adapter))
    files = sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file())
    return {"policy": policy.name, "folder": str(out), "lineage": ancestors, "files": files}


def _card(policy: PolicyVersion, ancestors: list[str], adapter: bool) -> str:
    branch = policy.branch.value if policy.branch else "all branches"
    return "\n".join(
        [
            f"# {policy.name}",
            "",
            f"A version of an audio-language model, {policy.status.value}, of {branch}; made by Trivox.",
            "",
            _ADAPTER if adapter else _MERGED,
            "",
            "`token_map.json` says which ids are text, marks and codes; `codec/` turns codes into sound.",
            "",
            f"- lineage: {' <- '.join(ancestors)}",
            f"- sha256 of the weights that it was made from: {policy.artefact_hash}",
            "",
        ]
    )
