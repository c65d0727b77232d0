"""Vision-language policies whose long video prompt is computed once for all completions that follow it."""
