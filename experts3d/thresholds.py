"""Published thresholds, each with its source: the one place where a number from the literature is typed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """A limit, its unit, and where it was published."""

    value: float
    unit: str
    source: str


SPLENOMEGALY = Threshold(314.5, "ml", "Bezerra et al., AJR 2005")
SPLENOMEGALY_MODERATE = Threshold(500.0, "ml", "grades of DeepTumorVQA's knowledge base")
SPLENOMEGALY_SEVERE = Threshold(800.0, "ml", "grades of DeepTumorVQA's knowledge base")
LIVER_LARGE = Threshold(1800.0, "ml", "normal range of DeepTumorVQA's knowledge base")
LIVER_SMALL = Threshold(600.0, "ml", "normal range of DeepTumorVQA's knowledge base")
KIDNEY_LARGE = Threshold(260.0, "ml", "normal range of DeepTumorVQA's knowledge base")
KIDNEY_SMALL = Threshold(130.0, "ml", "normal range of DeepTumorVQA's knowledge base")
PANCREAS_LARGE = Threshold(100.0, "ml", "normal range of DeepTumorVQA's knowledge base")
PANCREAS_SMALL = Threshold(40.0, "ml", "normal range of DeepTumorVQA's knowledge base")
LIVER_SPLEEN_RATIO = Threshold(1.0, "", "Kodama et al., AJR 2007, unenhanced CT")
PANCREAS_SPLEEN_RATIO = Threshold(0.70, "", "DeepTumorVQA's knowledge base, unenhanced CT")
EMPHYSEMA_HU = Threshold(-950.0, "HU", "LAA-950, Gevenois et al., AJRCCM 1996")
CYST_HU = (
    Threshold(-10.0, "HU", "Bosniak 2019 (Silverman et al., Radiology 2019)"),
    Threshold(20.0, "HU", "Bosniak 2019 (Silverman et al., Radiology 2019)"),
)
HYPERATTENUATING_CYST_HU = Threshold(70.0, "HU", "Bosniak 2019 (Silverman et al., Radiology 2019), unenhanced CT")
ISOATTENUATING_HU = Threshold(10.0, "HU", "margin chosen here; the literature gives none")
ADVANCED_BURDEN = Threshold(50.0, "%", "DeepTumorVQA's knowledge base")
TUMOUR_T2_MM = Threshold(20.0, "mm", "AJCC 8th edition, pancreas")
TUMOUR_T3_MM = Threshold(40.0, "mm", "AJCC 8th edition, pancreas")
# Contact with the coeliac trunk, the superior mesenteric or the common hepatic artery; above it a vein, too, is more than touched.
ENCASED_DEGREES = Threshold(180.0, "degrees", "NCCN guideline, pancreatic adenocarcinoma; Callery et al., Ann Surg Oncol 2009")
OUTLIER_RATIO = Threshold(3.0, "", "DeepTumorVQA's knowledge base")
EQUAL_KIDNEYS_ML = Threshold(1.0, "ml", "smaller differences are called equal here")
ENHANCED_BLOOD_HU = Threshold(90.0, "HU", "unenhanced blood measures 30 to 60 HU; margin chosen here")

# Hepatic steatosis after Kodama et al., AJR 2007: grade, liver HU below, or liver-to-spleen ratio below.
STEATOSIS_GRADES = ((3, 39.0, 0.5), (2, 51.0, 0.8), (1, 58.0, 1.0))
