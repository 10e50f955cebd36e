"""DICOM files without identity: the basic profile of PS3.15 (annex E), by a list of what stays instead of what goes.

Everything that is not on the list is dropped: private tags, sequences, overlays, free text, dates, institutions, devices' serial
numbers. UIDs are replaced consistently, files are named by number. What could still show the patient is refused.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vol3d.errors import ConfigError, VolumeError
from vol3d.extras import require
from vol3d.volume.atomic import atomic_path

logger = logging.getLogger(__name__)
# Pixels, geometry and technique; none of these is in the profile's table of attributes that must go.
_KEEP = frozenset(
    [
        "SOPClassUID",
        "Modality",
        "ImageType",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PixelSpacing",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "SliceThickness",
        "SpacingBetweenSlices",
        "SliceLocation",
        "PatientPosition",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
        "WindowCenter",
        "WindowWidth",
        "PixelPaddingValue",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
        "InstanceNumber",
        "SeriesNumber",
        "AcquisitionNumber",
        "NumberOfFrames",
        "KVP",
        "ExposureTime",
        "XRayTubeCurrent",
        "Exposure",
        "ConvolutionKernel",
        "FilterType",
        "GantryDetectorTilt",
        "TableHeight",
        "RotationDirection",
        "ReconstructionDiameter",
        "DataCollectionDiameter",
        "SpiralPitchFactor",
        "CTDIvol",
        "ExposureModulationType",
        "SingleCollimationWidth",
        "TotalCollimationWidth",
        "Manufacturer",
        "MagneticFieldStrength",
        "RepetitionTime",
        "EchoTime",
        "InversionTime",
        "FlipAngle",
        "EchoTrainLength",
        "ScanningSequence",
        "SequenceVariant",
        "ScanOptions",
        "MRAcquisitionType",
        "PixelBandwidth",
        "NumberOfAverages",
        "LossyImageCompression",
        "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
        "PixelData",
    ]
)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
# Action Z of the profile: the attribute must be there, and be empty.
_EMPTY = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID")
_IDENTIFYING = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "PatientBirthDate",
    "PatientAddress",
    "ReferringPhysicianName",
    "InstitutionName",
    "OperatorsName",
)
_CT_MR_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"})
_MIN_SEARCHED = 4


@dataclass(frozen=True)
class Deidentified:
    """What was done: files written, files refused with their reasons, and how often each attribute was dropped."""

    written: int
    refused: Mapping[str, str]
    dropped: Mapping[str, int]


def deidentify(folder: str | Path, out: str | Path, *, salt: str) -> Deidentified:
    """Write de-identified copies of all DICOM files below a folder; `out/<patient>/<study>/<series>/000001.dcm`.

    Args:
        folder: studies in any depth of subfolders; only read.
        out: must not exist or be empty.
        salt: a secret of yours; with it the same patient gets the same pseudonym again, without it nobody can find out who it was.

    Raises:
        ConfigError: no salt, or `out` is not empty.
    """
    source, target = Path(folder), Path(out)
    if len(salt) < 8:
        raise ConfigError("a secret salt of at least 8 characters is needed", hint="Pseudonyms without one can be found out by trying.")
    if target.exists() and any(target.iterdir()):
        raise ConfigError("the output folder is not empty", found=target)
    pydicom = require("pydicom", extra="dicom")
    dropped: Counter[str] = Counter()
    refused: dict[str, str] = {}
    numbers: Counter[Path] = Counter()
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        try:
            clean, gone = deidentify_file(path, salt=salt, pydicom=pydicom)
        except VolumeError as error:
            # The name may itself identify: only a number goes into what is returned and logged.
            refused[f"file {len(refused) + 1 + sum(numbers.values())}"] = error.problem
            continue
        dropped.update(gone)
        place = target / str(clean.PatientID) / f"study_{_short(clean.StudyInstanceUID)}" / f"series_{_short(clean.SeriesInstanceUID)}"
        place.mkdir(parents=True, exist_ok=True)
        numbers[place] += 1
        with atomic_path(place / f"{numbers[place]:06d}.dcm") as temporary:
            clean.save_as(temporary, enforce_file_format=True)
    return Deidentified(sum(numbers.values()), refused, dict(dropped.most_common()))


def deidentify_file(path: Path, *, salt: str, pydicom: Any = None) -> tuple[Any, list[str]]:
    """One file's de-identified dataset and the names of what was dropped.

    Raises:
        VolumeError: not DICOM, not an image of CT or MR, writing may be burned in, or an identifier is still found in what stays.
    """
    pydicom = pydicom or require("pydicom", extra="dicom")
    try:
        given = pydicom.dcmread(path)
    except Exception as error:
        raise VolumeError("not a readable DICOM file") from error
    _refuse_doubtful(given)
    clean = pydicom.Dataset()
    for element in given:
        if element.keyword in _KEEP and not element.tag.is_private:
            clean.add(element)
    gone = [element.keyword or "private or unknown" for element in given if element.keyword not in _KEEP]
    for name in _UIDS:
        if name in given:
            setattr(clean, name, new_uid(str(getattr(given, name)), salt))
    for name in _EMPTY:
        setattr(clean, name, "")
    identity = str(given.get("PatientID", "")) or str(given.get("PatientName", "")) or str(given.get("StudyInstanceUID", ""))
    clean.PatientID = f"patient_{_digest(identity, salt)[:12]}"
    _sign(clean, pydicom)
    _refuse_leftovers(given, clean)
    clean.file_meta = pydicom.dataset.FileMetaDataset()
    clean.file_meta.TransferSyntaxUID = given.file_meta.TransferSyntaxUID
    clean.file_meta.MediaStorageSOPClassUID = given.SOPClassUID
    clean.file_meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    return clean, gone


def new_uid(uid: str, salt: str) -> str:
    """Another UID for a UID, always the same one for the same salt.

    >>> new_uid("1.2.3", "a secret") == new_uid("1.2.3", "a secret") != new_uid("1.2.3", "another")
    True
    """
    return f"2.25.{int(_digest(uid, salt)[:30], 16)}"


def _refuse_doubtful(given: Any) -> None:
    """What could show the patient in its pixels."""
    kinds = [str(kind).upper() for kind in given.get("ImageType", None) or []]
    if str(given.get("SOPClassUID", "")) not in _CT_MR_CLASSES or "PixelData" not in given:
        raise VolumeError("not an image of CT or MR: such objects may hold reports, screenshots or documents", hint="Leave it out.")
    if str(given.get("BurnedInAnnotation", "NO")).upper() != "NO":
        raise VolumeError("writing is burned into the pixels", hint="Leave it out.")
    if "SECONDARY" in kinds or "SCREEN SAVE" in kinds or "ConversionType" in given:
        raise VolumeError("a secondary capture may have writing burned into its pixels", hint="Leave it out, or look at it.")
    if int(given.get("SamplesPerPixel", 1)) != 1:
        raise VolumeError("a colour picture may have writing burned into its pixels", hint="Leave it out.")
    if str(given.get("RecognizableVisualFeatures", "NO")).upper() == "YES":
        raise VolumeError("the header says that the patient can be recognised in the image", hint="Remove the face first.")


def _sign(clean: Any, pydicom: Any) -> None:
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = "PS3.15 basic profile, by a list of kept attributes"
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    clean.DeidentificationMethodCodeSequence = [code]


def _refuse_leftovers(given: Any, clean: Any) -> None:
    """No identifier of the original may stand in any text that stays (a kernel's name, an image type)."""
    kept = " ".join(str(element.value) for element in clean if element.VR not in ("OB", "OW", "SQ", "UI")).lower()
    for word in identifiers(given):
        if word in kept:
            raise VolumeError("an identifier of the patient is still found in what would be kept", hint="Look at this file.")


def identifiers(given: Any) -> Iterable[str]:
    """Words of a header that identify: names' parts, numbers, dates; lower case, at least four characters."""
    for name in _IDENTIFYING:
        for word in str(given.get(name, "") or "").replace("^", " ").replace("=", " ").lower().split():
            if len(word) >= _MIN_SEARCHED:
                yield word


def _digest(text: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}\0{text}".encode()).hexdigest()


def _short(uid: str) -> str:
    return hashlib.sha256(str(uid).encode()).hexdigest()[:12]
