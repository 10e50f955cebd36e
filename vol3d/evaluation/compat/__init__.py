"""Published scorers, reproduced by name with their defects, so that published numbers can be compared; never for ranking anew.

- `deeptumorvqa`: first character A-D is the answer, first number wins, "no" as a prefix, substring credit reported.
- `vlm3d`: whitespace tokens after the challenge's string surgery, missing reports not scored, missing labels counted as all negative.
- `m3d`: the right letter followed by a period anywhere in the output.
- `ct_clip`: thresholds chosen on the test set, F1 weighted over positives and negatives, a bootstrap that does not resample, MAP@K that accumulates.
"""
