"""Object detectors behind one interface: pictures in, boxes with a distribution over classes out.

`detector.py` says what a detector is, `resolve.py` opens one by name (`whenwhere.open_detector`), and each other file
is one back end. A detector looks at each picture by itself: it knows nothing of time and gives no identities.

Left out: training, and weights of our own. No pickle is ever loaded.
"""
