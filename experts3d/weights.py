"""Where the weights of experts are looked for; asked before anything heavy is imported."""

from pathlib import Path

from vol3d.cache import cache_folder

# Expert -> folder and file under `weights/` of the user's cache folder; the names are those of MONAI's model zoo.
_FILES: dict[str, tuple[str, str]] = {
    "wholebody_ct": ("wholeBody_ct_segmentation", "model_lowres.pt"),
    "spleen_ct": ("spleen_ct_segmentation", "model.pt"),
    "pancreas_ct": ("pancreas_ct_dints_segmentation", "model.pt"),
    "brats_mri": ("brats_mri_segmentation", "model.pt"),
    "vista3d": ("vista3d", "model.pt"),
}


def weights_path(expert: str) -> Path:
    """The file that an expert reads when it is given no other.

    >>> weights_path("vista3d").parts[-3:]
    ('weights', 'vista3d', 'model.pt')
    """
    return cache_folder().joinpath("weights", *_FILES[expert])


def lacks_weights(expert: str) -> bool:
    """Whether an expert needs a file of weights that is not there."""
    return expert in _FILES and not weights_path(expert).is_file()
