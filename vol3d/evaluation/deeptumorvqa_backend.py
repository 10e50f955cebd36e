"""This project's models under DeepTumorVQA's own evaluator.

    deeptumorvqa-eval --backend custom --custom-module vol3d.evaluation.deeptumorvqa_backend \
        --mode vqa --input 3d_volume --format mc --model demo --data-dir DIR --output result.json

The scan arrives as a NIfTI path. A question without its scan is refused: the evaluator would record a blind answer as if it were a real one.
"""

from typing import Any

from vol3d.errors import ConfigError, MissingExtraError


def build_evaluator(args: Any) -> Any:
    """What `--custom-module` must offer: an evaluator whose `generate` answers from the volume.

    Errors: MissingExtraError without the `deeptumorvqa` package.
    """
    try:
        from deeptumorvqa.eval.vqa_evaluator import HFVLMEvaluator
    except ImportError as error:
        hint = "pip install git+https://github.com/Schuture/DeepTumorVQA"
        raise MissingExtraError("the evaluator of DeepTumorVQA is not installed", hint=hint) from error

    from vol3d.evaluation.models.ours import OwnModel

    name = getattr(args, "model", None) or "demo"
    answerer = OwnModel(name="demo" if name.startswith("Qwen/") else name)  # the evaluator's default model is not one of ours

    class Vol3dEvaluator(HFVLMEvaluator):  # type: ignore[misc]
        """Answers from the 3D volume; the last one read is kept, since questions come scan by scan."""

        def __init__(self) -> None:
            super().__init__(model_id=f"vol3d/{answerer.name}", device="cpu")
            self._last: tuple[str, Any] | None = None

        def generate(self, prompt: str, images: list | None = None, video_path: str | None = None) -> str:
            """Answer a prompt of the benchmark about the volume at `video_path`."""
            return answerer.answer(self._volume(video_path), question_of(prompt))

        def _volume(self, path: str | None) -> Any:
            from vol3d.volume.read import read_volume

            if path is None or not path.endswith((".nii", ".nii.gz")):
                raise ConfigError("no volume was handed over", expected="--input 3d_volume, and the scan in --data-dir", found=path or "nothing")
            if self._last is None or self._last[0] != path:
                self._last = (path, read_volume(path))
            return self._last[1]

    return Vol3dEvaluator()


def question_of(prompt: str) -> str:
    r"""The question within the benchmark's prompt: without the lines about input, patient and spacing; the instruction stays.

    >>> question_of("You are given the full 3D abdominal CT volume (NIfTI, native voxel spacing).\nLarger? A. left B. right\nAnswer with ONLY")
    'Larger? A. left B. right\nAnswer with ONLY'
    """
    preface = ("You are given the full 3D", "The image is a single axial", "The video plays", "Patient:", "Voxel spacing (mm)")
    return "\n".join(line for line in prompt.split("\n") if not line.startswith(preface))
