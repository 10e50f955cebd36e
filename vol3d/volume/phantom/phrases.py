"""Wording of phantom reports: several ways to say each thing. `{size} {place} {side} {count} {amount} {organ}` are filled in."""

POSITIVE: dict[str, tuple[str, ...]] = {
    "liver_tumour": (
        "A {tone} solid lesion of {size} is seen in the {place}.",
        "In the {place} there is a {tone} mass measuring {size}, suspicious for a tumour.",
        "{tone_cap} focal lesion in the {place}, {size}, solid.",
    ),
    "liver_cyst": (
        "A simple cyst of {size} is present in the {place}.",
        "There is a fluid-density, well-defined lesion measuring {size} in the {place}, consistent with a cyst.",
        "Hepatic cyst in the {place}, {size}.",
    ),
    "kidney_tumour": (
        "A solid mass of {size} arises from the {place}.",
        "There is a solid renal lesion measuring {size} at the {place}, suspicious for renal cell carcinoma.",
        "Solid tumour of the {place}, measuring {size}.",
    ),
    "kidney_cyst": (
        "A simple cortical cyst of {size} is seen at the {place}.",
        "The {place} bears a cyst measuring {size}.",
        "There is a renal cyst with a size of {size} at the {place}.",
    ),
    "pancreas_lesion": (
        "A hypodense lesion of {size} is seen in the {place}.",
        "There is a focal lesion in the {place} measuring {size}.",
        "Hypoattenuating mass in the {place}, {size}.",
    ),
    "lung_nodule": (
        "A solid nodule of {size} is observed in the {place}.",
        "There is a solid pulmonary nodule in the {place} measuring {size}.",
        "Solid nodule, {size}, in the {place}.",
    ),
    "lung_ground_glass_nodule": (
        "A ground-glass nodule of {size} is observed in the {place}.",
        "There is a subsolid nodule of ground-glass density in the {place}, measuring {size}.",
        "Ground-glass opacity of {size}, nodular, in the {place}.",
    ),
    "consolidation": (
        "An area of consolidation is seen in the {place}.",
        "There is airspace consolidation in the {place}.",
        "Consolidated parenchyma in the {place}.",
    ),
    "atelectasis": (
        "Linear atelectasis is seen in the {place}.",
        "There is a band of subsegmental atelectasis in the {place}.",
        "Plate-like atelectatic change in the {place}.",
    ),
    "emphysema": (
        "{amount} emphysematous changes are present in the {place}.",
        "{amount} centrilobular emphysema in the {place}.",
        "There is {amount_low} emphysema in the {place}.",
    ),
    "pleural_effusion": (
        "A {amount} pleural effusion is present on the {side}, about {volume}.",
        "There is a {amount} {side}-sided pleural effusion (approximately {volume}).",
        "{amount_cap} {side} pleural effusion, approximately {volume}.",
    ),
    "pericardial_effusion": (
        "There is a {amount} pericardial effusion.",
        "{amount_cap} effusion between the pericardial layers.",
        "A {amount} amount of pericardial fluid is observed.",
    ),
    "coronary_calcification": (
        "Calcified plaques are present in the coronary arteries.",
        "There are coronary artery wall calcifications.",
        "Coronary artery calcification is observed.",
    ),
    "aortic_calcification": (
        "Calcified atheromatous plaques are seen in the wall of the aorta.",
        "There are wall calcifications of the aorta.",
        "Atherosclerotic calcification of the aorta is observed.",
    ),
    "hiatal_hernia": (
        "A hiatal hernia is present, with a diameter of {long}.",
        "There is a sliding hiatal hernia of {long} behind the heart.",
        "Part of the stomach lies above the diaphragm: hiatal hernia of {long}.",
    ),
    "lymph_node": (
        "An enlarged {place} lymph node measures {size}.",
        "There is {place} lymphadenopathy with a node of {size}.",
        "Enlarged lymph node, {place}, {size}.",
    ),
    "bone_lesion": (
        "A {tone} lesion of {size} is seen in the {place}.",
        "There is a {tone} bone lesion in the {place} measuring {size}.",
        "The {place} contains a {tone} focus of {size}.",
    ),
    "brain_tumour": (
        "A mass of {size} is seen in the {place}, with surrounding oedema.",
        "There is an intra-axial tumour in the {place} measuring {size}, with perifocal oedema.",
        "Space-occupying lesion in the {place}, {size}, with oedema around it.",
    ),
}

NEGATIVE: dict[str, tuple[str, ...]] = {
    "liver_tumour": ("No solid lesion is seen in the liver.", "No focal solid liver mass.", "The liver shows no tumour."),
    "liver_cyst": ("No hepatic cyst is seen.", "There is no cyst in the liver."),
    "kidney_tumour": ("No solid renal mass.", "There is no solid tumour of the kidneys.", "No suspicious renal lesion is seen."),
    "kidney_cyst": ("No renal cyst is seen.", "The kidneys show no cysts."),
    "pancreas_lesion": ("No focal pancreatic lesion.", "The pancreas shows no mass.", "The pancreas appears normal."),
    "lung_nodule": ("No solid pulmonary nodule is detected.", "There is no solid nodule in the lungs."),
    "lung_ground_glass_nodule": ("No ground-glass nodule is seen.", "There is no subsolid nodule."),
    "consolidation": ("No consolidation.", "There is no airspace consolidation.", "No infiltrative lesion is detected in the lungs."),
    "atelectasis": ("No atelectasis.", "There is no atelectatic change."),
    "emphysema": ("No emphysema.", "There are no emphysematous changes."),
    "pleural_effusion": ("No pleural effusion.", "Pleural effusion was not detected.", "The pleural spaces are free of fluid."),
    "pericardial_effusion": ("No pericardial effusion.", "Pericardial effusion was not observed."),
    "coronary_calcification": ("No coronary artery calcification.", "The coronary arteries show no calcified plaques."),
    "aortic_calcification": ("No calcification of the aortic wall.", "The aortic wall is not calcified."),
    "hiatal_hernia": ("No hiatal hernia.", "There is no hiatal hernia."),
    "lymph_node": ("No enlarged lymph nodes.", "No lymph nodes in pathological dimensions were detected.", "There is no lymphadenopathy."),
    "bone_lesion": ("No suspicious bone lesion.", "No lytic or sclerotic lesion is seen.", "The bones show no focal lesion."),
    "brain_tumour": ("No intracranial mass is seen.", "There is no space-occupying lesion in the brain."),
}

NORMAL: dict[str, tuple[str, ...]] = {
    "trachea": ("The trachea and main bronchi are open.", "Trachea and both main bronchi are patent."),
    "heart": ("The heart is normal in size.", "Heart size is within normal limits.", "The heart is not enlarged."),
    "cardiomegaly": ("The heart is enlarged.", "Heart size is increased.", "There is cardiomegaly."),
    "gallbladder": ("The gallbladder is unremarkable.", "Normal gallbladder."),
    "spleen": ("The spleen is unremarkable.", "Normal spleen.", "The spleen shows no focal lesion."),
    "adrenal_gland_left": ("The adrenal glands are normal.", "Both adrenal glands are of normal shape."),
    "urinary_bladder": ("The urinary bladder is unremarkable.", "Normal urinary bladder."),
    "ventricles": ("The ventricles are symmetric.", "Symmetric lateral ventricles, no shift of the midline."),
}

NOT_COVERED: dict[str, tuple[str, ...]] = {
    "urinary_bladder": ("The pelvis is not included.", "The urinary bladder lies outside of the field of view."),
    "kidneys": ("The kidneys are not covered by this scan.", "The kidneys lie outside of the field of view."),
    "lungs": ("The lungs are not covered.", "The lungs lie outside of the field of view."),
    "liver": ("The liver is not covered by this scan.", "The liver lies outside of the field of view."),
}

TECHNIQUE: dict[str, tuple[str, ...]] = {
    "native": ("Examination without contrast medium.", "Non-contrast CT.", "No intravenous contrast was given."),
    "portal": ("Contrast-enhanced CT, portal venous phase.", "Examination after contrast medium, in the venous phase."),
    "arterial": ("Contrast-enhanced CT, arterial phase.", "Examination after contrast medium, in the arterial phase."),
}

CUT = ("The {organ} is only partly included.", "Only part of the {organ} is covered.")
SIZE_CUT = "of which only a part is covered"
NO_FINDING = (
    "No significant abnormality in the covered region.",
    "Normal findings, as far as covered.",
    "No pathological finding.",
    "Examination within normal limits.",
)

IMPRESSION: dict[str, tuple[str, ...]] = {
    "liver_tumour": ("Solid liver lesion{plural}, largest {long}.", "Liver tumour{plural}, up to {long}."),
    "liver_cyst": ("Liver cyst{plural}.", "Simple hepatic cyst{plural}, up to {long}."),
    "kidney_tumour": ("Solid mass of the {side} kidney, {long}.", "Suspicious {side} renal tumour of {long}."),
    "kidney_cyst": ("Renal cyst{plural}.", "Simple renal cyst{plural}, up to {long}."),
    "pancreas_lesion": ("Focal pancreatic lesion, {long}.", "Lesion of the pancreas, {long}; further work-up advised."),
    "lung_nodule": ("Solid pulmonary nodule{plural}, up to {long}.", "Lung nodule{plural} with a diameter of up to {long}."),
    "lung_ground_glass_nodule": ("Ground-glass nodule{plural}, up to {long}.", "Subsolid pulmonary nodule{plural}, follow-up advised."),
    "consolidation": ("Pulmonary consolidation.", "Consolidation, pneumonia is possible."),
    "atelectasis": ("Atelectasis.", "Linear atelectasis."),
    "emphysema": ("Emphysema.", "Emphysematous lungs."),
    "pleural_effusion": ("Pleural effusion, {side}.", "{side_cap} pleural effusion."),
    "pericardial_effusion": ("Pericardial effusion.", "Fluid in the pericardium."),
    "coronary_calcification": ("Coronary atherosclerosis.", "Coronary artery calcification."),
    "aortic_calcification": ("Aortic atherosclerosis.", "Calcified plaques of the aorta."),
    "hiatal_hernia": ("Hiatal hernia.", "Sliding hiatal hernia."),
    "lymph_node": ("Lymphadenopathy.", "Enlarged lymph node{plural}."),
    "bone_lesion": ("Focal bone lesion.", "{tone_cap} bone lesion."),
    "brain_tumour": ("Brain tumour, {long}.", "Intra-axial mass of {long} with oedema."),
    "cardiomegaly": ("Cardiomegaly.", "Enlarged heart."),
}
