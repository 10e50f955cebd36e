"""A corpus's stored tokens (`vol3d prep encode`) as a data set: what was encoded once is trained on many times."""

from pathlib import Path

from tokenizers3d import TokenGrid
from tokenizers3d.tokens import read_tokens
from vol3d.errors import CheckpointError, ConfigError
from vol3d.volume.manifest import read_manifest


class TokenDataset:
    """Item `i` is the `TokenGrid` of a series, in the manifest's order.

    Args:
        store: prepared corpus.
        key: folder in its `tokens`: which tokenizer, intensities and grid; `vol3d prep encode` prints it.
        split: of the manifest; None takes all.
        tokenizer_id: of the only tokenizer whose tokens are wanted; None takes any, but the same for all.

    Raises:
        ConfigError: no tokens under this key, or no series in this split.
    """

    def __init__(self, store: str | Path, key: str, *, split: str | None = "train", tokenizer_id: str | None = None) -> None:
        tokens = Path(store) / "tokens"
        self.folder = tokens / key
        if not self.folder.is_dir():
            found = ", ".join(sorted(str(path.relative_to(tokens)) for path in tokens.glob("*/*"))) or "none"
            raise ConfigError("no tokens under this key", path=self.folder, expected="a key of vol3d prep encode", found=found)
        self.rows = read_manifest(store, split=split)
        if not self.rows:
            raise ConfigError("no series to train on", path=store, expected=f"rows of split {split}")
        self.tokenizer_id = tokenizer_id

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TokenGrid:
        """The tokens of one series; those of other voxels or of another tokenizer are refused."""
        row = self.rows[index]
        path = self.folder / f"{row.series}.safetensors"
        grid, provenance = read_tokens(path)
        if provenance.get("sha256") != row.sha256:
            raise CheckpointError("these tokens were made from other voxels", path=path, hint="Run vol3d prep encode again.")
        self.tokenizer_id = self.tokenizer_id or grid.tokenizer_id
        if grid.tokenizer_id != self.tokenizer_id:
            raise CheckpointError("these tokens were made by another tokenizer", path=path, expected=self.tokenizer_id, found=grid.tokenizer_id)
        return grid
