"""A module of the project that caches nothing: importing it would be somebody's own business."""

raise SystemExit("scripts are not imported by discovery")
