"""One small evidence, written out, for the tests of prompts, grounding and the loop."""

from vol3d.contracts import Evidence, Measurement, Status


def m(structure: str, name: str, value: float | int | str, unit: str, component: int | None = None) -> Measurement:
    return Measurement(
        name=name, value=value, unit=unit, structure=structure, component=component, method="by hand", mask_id=f"supplied@1:{structure}"
    )


def evidence() -> Evidence:
    measurements = (
        m("liver", "volume", 1450.24, "ml"),
        m("liver", "mean_intensity", 55.3, "HU"),
        m("liver_tumour", "volume", 4.2, "ml"),
        m("liver_tumour", "num_components", 2, ""),
        m("liver_tumour", "longest_axial_diameter", 20.1, "mm"),
        m("liver_tumour", "mean_intensity", 80.0, "HU"),
        m("kidney_tumour", "volume", 9.0, "ml"),
        m("kidney_tumour", "num_components", 1, ""),
        m("kidney_tumour", "longest_axial_diameter", 26.0, "mm"),
        m("kidney_tumour", "mean_intensity", 40.0, "HU"),
        m("kidney_tumour", "side", "left", ""),
        m("spleen", "volume", 400.0, "ml"),
        m("spleen", "splenomegaly", "yes", ""),
    )
    statuses = {
        "liver": Status.FOUND,
        "liver_tumour": Status.FOUND,
        "kidney_tumour": Status.FOUND,
        "spleen": Status.FOUND,
        "pleural_effusion": Status.ABSENT,
        "pancreas": Status.NOT_COVERED,
    }
    return Evidence(measurements, (), statuses=statuses)
