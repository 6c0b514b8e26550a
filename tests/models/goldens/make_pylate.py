"""What PyLate makes of the layouts of its versions: writes pylate.json and pylate.npz.

Run in an environment of its own, from the root of the repository:
    pip install "pylate==1.6.0" && python tests/models/goldens/make_pylate.py
It needs no network: the checkpoints are random and made here.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import goldens
import layouts
import numpy as np
from pylate import models


def encode(folder: Path, role: str) -> list[np.ndarray]:
    model = models.ColBERT(str(folder), device="cpu")
    name = role if model.prompts.get(role) else None
    return model.encode(layouts.TEXTS, is_query=role == "query", prompt_name=name, show_progress_bar=False)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folders = {}
        for number, (case, recipe) in enumerate(layouts.PYLATE.items()):
            folders[case] = layouts.write_pylate(Path(place) / str(number), **recipe)
        written = layouts.write_pylate(Path(place) / "written", **layouts.PYLATE_TO_SAVE)
        saved = folders[layouts.PYLATE_SAVED] = Path(place) / "saved"
        models.ColBERT(str(written), device="cpu").save_pretrained(str(saved), create_model_card=False)
        texts = {
            path.relative_to(saved).as_posix(): path.read_text("utf-8")
            for path in sorted(saved.rglob("*"))
            if path.suffix in (".json", ".txt")
        }
        goldens.save(
            "pylate",
            ["pylate", "sentence-transformers", "transformers", "torch"],
            {case: layouts.checksum(folder) for case, folder in folders.items()},
            {(case, role): encode(folders[case], role) for case in folders for role in ("query", "document")},
            saved_files=texts,
        )


if __name__ == "__main__":
    main()
